"""Decisions of a tree from class logits, against sums written out."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.family import softmax
from tests.test_tree import DEEP, trees
from uda.objectives.hierarchy import (
    compose,
    conditionals,
    label_table,
    label_weights,
    reach,
    tree_cross_entropy,
)


def logits_of(tree, seed, rows=4):
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, len(tree.classes))
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


def literal(row, tree):
    """Per node: p(child | node) of one row of logits, from plain sums."""
    probs = dict(zip(tree.classes, softmax(row), strict=True))

    def mass(name):
        below = dict(tree.branches).get(name)
        return probs[name] if below is None else sum(map(mass, below))

    return [
        [mass(child) / mass(name) for child in below] for name, below in tree.branches
    ], [mass(name) for name, _ in tree.branches]


@given(trees(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_conditionals_and_reach_equal_plain_sums_and_compose_back(tree, seed):
    logits = logits_of(tree, seed)
    steps, reached = conditionals(logits, tree), reach(logits, tree)
    for i, row in enumerate(logits.tolist()):
        wanted, masses = literal(row, tree)
        for step, node in zip(steps, wanted, strict=True):
            assert max(abs(a - b) for a, b in zip(step[i].exp(), node, strict=True)) < (
                1e-12
            )
        assert max(abs(a - b) for a, b in zip(reached[i], masses, strict=True)) < 1e-12
    back = compose(steps, tree)
    torch.testing.assert_close(back, logits.log_softmax(1), atol=1e-10, rtol=0)


def test_cross_entropy_of_classes_and_of_coarse_labels():
    logits = logits_of(DEEP, 1, rows=7)
    labels = torch.arange(7)  # five classes, then Defect and Marks
    found = tree_cross_entropy(logits, labels, label_table(DEEP))
    for row, label, value in zip(logits.tolist(), range(7), found, strict=True):
        probs = softmax(row)
        wanted = -math.log(sum(probs[c] for c in DEEP.below[label]))
        assert abs(float(value) - wanted) < 1e-12
    plain = torch.nn.functional.cross_entropy(logits[:5], labels[:5], reduction="none")
    torch.testing.assert_close(found[:5], plain, atol=1e-12, rtol=0)


def test_a_coarse_label_teaches_nothing_below_its_node():
    logits = logits_of(DEEP, 2, rows=1).requires_grad_()
    table = label_table(DEEP)
    tree_cross_entropy(logits, torch.tensor([5]), table).sum().backward()  # Defect
    # The gradient keeps the proportions among the classes below the node: it is
    # p_c - p_c / p(Defect), a multiple of p_c, so their conditional stands still.
    probs = logits.detach().softmax(1)[0]
    ratio = (logits.grad[0] / probs)[list(DEEP.members["Defect"])]
    torch.testing.assert_close(ratio, ratio[:1].expand(4), atol=1e-12, rtol=0)
    assert float(ratio[0]) < 0 < float(logits.grad[0, 1])
    assert bool(torch.isfinite(logits.grad).all())


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[200.0, -200.0, 0, 0, 0]], requires_grad=True)
    loss = tree_cross_entropy(logits, torch.tensor([1]), label_table(DEEP))
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all() and torch.isfinite(logits.grad).all())
    assert all(bool(torch.isfinite(x).all()) for x in conditionals(logits, DEEP))


def test_weights_of_coarse_labels_are_the_average_images():
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    counts = torch.tensor([1, 50, 1, 6, 2])
    found = label_weights(weights, counts, DEEP)
    assert found[:5].tolist() == weights.tolist()
    torch.testing.assert_close(found[6], torch.tensor((1 + 3 + 10) / 4))
    torch.testing.assert_close(found[5], torch.tensor((1 + 3 + 24 + 10) / 10))
