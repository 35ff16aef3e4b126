"""Tree heads against the product of conditionals, written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.test_tree import DEEP
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.heads import FlatHead
from uda.models.tree_head import Together, TreeHead
from uda.tree import ROOT, Tree

FLAT = Tree(((ROOT, ("b", "a", "c")),), ("a", "b", "c"))


def head_of(tree, *, own=False, seed=0):
    torch.manual_seed(seed)
    return TreeHead(12, tree, own_features=own, bound=1.0).double()


def spec(independent=False):
    return ModelSpec(
        "wrn-10-1",
        DEEP.classes,
        1,
        (0.5,),
        (0.2,),
        head="tree",
        tree=DEEP.branches,
        independent=independent,
    )


@pytest.mark.parametrize("own", [False, True])
def test_leaf_is_the_product_along_the_path(own):
    head = head_of(DEEP, own=own)
    features = torch.randn(5, 12, dtype=torch.float64)
    found = head(features)
    parts = features.split(4, 1) if own else [features] * 3
    root, defect, marks = (
        (part @ node.linear.weight.T + node.linear.bias).softmax(1)
        for node, part in zip(head.nodes, parts, strict=True)
    )
    # Children in the tree's order: Good, Defect; Rust, Marks; Scratch, Dent, Grind.
    expected = torch.stack(
        [
            root[:, 1] * defect[:, 1] * marks[:, 1],  # Dent
            root[:, 0],  # Good
            root[:, 1] * defect[:, 1] * marks[:, 2],  # Grind
            root[:, 1] * defect[:, 0],  # Rust
            root[:, 1] * defect[:, 1] * marks[:, 0],  # Scratch
        ],
        dim=1,
    )
    torch.testing.assert_close(found.leaf.exp(), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.leaf.softmax(1), expected, atol=1e-12, rtol=0)
    ones = torch.ones(5, dtype=torch.float64)
    torch.testing.assert_close(found.leaf.exp().sum(1), ones, atol=1e-12, rtol=0)
    assert found.nodes.shape == (5, 7)


def test_a_tree_of_depth_one_is_the_flat_head():
    tree, flat = head_of(FLAT), FlatHead(12, 3).double()
    order = [1, 0, 2]  # of the children, against that of the classes
    with torch.no_grad():
        flat.linear.weight.copy_(tree.nodes[0].linear.weight[order])
        flat.linear.bias.copy_(torch.randn(3, dtype=torch.float64))
        tree.nodes[0].linear.bias.copy_(flat.linear.bias[order])
    features = torch.randn(6, 12, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    one, two = tree(features).leaf, flat(features).leaf
    torch.testing.assert_close(one, two.log_softmax(1), atol=1e-6, rtol=0)
    losses = [cross_entropy(leaf, labels) for leaf in (one, two)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-6, rtol=0)
    for loss in losses:
        loss.backward()
    grad = tree.nodes[0].linear.weight.grad[order]
    torch.testing.assert_close(grad, flat.linear.weight.grad, atol=1e-6, rtol=0)


def test_cross_entropy_is_the_sum_of_the_nodes_on_the_path():
    head = head_of(DEEP)
    found = head(torch.randn(1, 12, dtype=torch.float64))
    loss = cross_entropy(found.leaf, torch.tensor([2]))  # Defect, Marks, Grind
    root, defect, marks = found.nodes.split([2, 2, 3], 1)
    target = torch.tensor
    expected = (
        cross_entropy(root, target([1]))
        + cross_entropy(defect, target([1]))
        + cross_entropy(marks, target([2]))
    )
    torch.testing.assert_close(loss, expected)


def test_nodes_beside_the_path_get_no_gradient():
    head = head_of(DEEP)
    leaf = head(torch.randn(3, 12, dtype=torch.float64)).leaf
    cross_entropy(leaf, torch.tensor([1, 1, 3])).backward()  # Good, Good, Rust
    largest = [float(node.linear.weight.grad.abs().max()) for node in head.nodes]
    assert min(largest[:2]) > 1e-3
    # softmax over the classes undoes what the sum added, up to rounding
    assert largest[2] < 1e-12


def test_it_stays_precise_under_autocast():
    model = build_classifier(spec(), seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        leaf = model(torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)).leaf
    assert leaf.dtype == torch.float32
    torch.testing.assert_close(leaf.exp().sum(1), torch.ones(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("independent", [False, True])
def test_the_description_builds_the_same_classifier_again(independent):
    first = spec(independent)
    again = ModelSpec.from_json(first.to_json())
    assert again == first
    one, two = build_classifier(first, seed=3), build_classifier(again, seed=4)
    two.load_state_dict(one.state_dict())
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(one.eval()(images).leaf, two.eval()(images).leaf)


def test_independent_models_share_nothing():
    model = build_classifier(spec(independent=True), seed=1)
    assert isinstance(model.backbone, Together)
    assert len(model.backbone.backbones) == 3
    images = torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)
    root, *_ = model(images).nodes.split(DEEP.sizes, 1)
    root.sum().backward()
    touched = [
        any(p.grad is not None and bool(p.grad.any()) for p in backbone.parameters())
        for backbone in model.backbone.backbones
    ]
    assert touched == [True, False, False]
    one, two, _ = (next(b.parameters()) for b in model.backbone.backbones)
    assert not torch.equal(one, two)
