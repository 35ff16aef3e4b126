"""Separate masks per decision: against a literal version, and the flat methods."""

from __future__ import annotations

import math

import pytest
import torch

from tests.objectives.consistency.family import check_gradients, shape, steps, total
from tests.objectives.test_hierarchy import literal as decisions
from tests.test_tree import DEEP
from uda.objectives.consistency.by_node import TreeConsistency
from uda.objectives.consistency.fixmatch import FixMatch
from uda.objectives.consistency.uda import Uda
from uda.tree import ROOT, Tree

FLAT = Tree(((ROOT, ("c2", "c0", "c3", "c1")),), ("c0", "c1", "c2", "c3"))


def literal(weak, strong, *, threshold, temperature=None):
    """UDA (with a temperature) or FixMatch at every node, from plain sums."""
    value = 0.0
    for w, s in zip(weak, strong, strict=True):
        (weak_nodes, reached), (strong_nodes, _) = (decisions(r, DEEP) for r in (w, s))
        for p, q, r in zip(weak_nodes, strong_nodes, reached, strict=True):
            if temperature is None:
                best = p.index(max(p))
                value += r * (max(p) >= threshold) * -math.log(q[best])
            elif max(p) > threshold:
                powers = [x ** (1 / temperature) for x in p]
                target = [x / sum(powers) for x in powers]
                value += r * sum(
                    t * math.log(t / x) for t, x in zip(target, q, strict=True)
                )
    return value / len(weak)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (Uda(0.4, 0.8), {"threshold": 0.8, "temperature": 0.4}),
        (Uda(1.0, 0.0), {"threshold": 0.0, "temperature": 1.0}),
        (FixMatch(0.9), {"threshold": 0.9}),
    ],
)
def test_equals_the_literal_form(method, settings):
    tree_method = TreeConsistency(method, DEEP)
    for weak, strong, index in steps(3, num_classes=5, scale=1.5, count=3):
        terms, memory = tree_method(weak, strong, index, tree_method.memory(shape(5)))
        rows, value = weak.tolist(), total(terms)
        wanted = literal(rows, strong.tolist(), **settings)
        assert abs(value.item() - wanted) < 1e-6
        assert memory == {}
        check_gradients(
            value, weak, strong, lambda s, rows=rows: literal(rows, s, **settings)
        )


@pytest.mark.parametrize("method", [Uda(0.4, 0.8), FixMatch(0.9)])
def test_a_tree_of_depth_one_is_the_flat_method(method):
    for weak, strong, index in steps(4):
        flat, _ = method(weak, strong, index, {})
        tree, _ = TreeConsistency(method, FLAT)(weak, strong, index, {})
        for name in ("loss", "mask", "targets"):
            one, two = getattr(flat, name), getattr(tree, name)
            torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


def test_sure_that_it_is_a_defect_unsure_which():
    # Dent, Good, Grind, Rust, Scratch: no Good, all four defects alike.
    weak = torch.tensor([[5.0, -5.0, 5.0, 5.0, 5.0]], dtype=torch.float64)
    strong = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    method = TreeConsistency(Uda(0.4, 0.9), DEEP)
    terms, _ = method(weak, strong, torch.zeros(1), {})
    assert terms.by_node is not None
    kept = {name: float(part / whole) for name, (whole, part) in terms.by_node.items()}
    assert kept == {ROOT: 1.0, "Defect": 0.0, "Marks": 0.0}
    assert terms.named is not None
    assert terms.named.tolist() == [[0.0] * 5]  # no class is named by that
    assert float(Uda(0.4, 0.9)(weak, strong, torch.zeros(1), {})[0].mask) == 0.0
    terms.loss.sum().backward()
    # Good must fall; the defects rise together, their proportions stay.
    grad = strong.grad[0]
    assert float(grad[1]) > 0
    others = grad[[0, 2, 3, 4]]
    torch.testing.assert_close(others, others[:1].expand(4))
    # Decisions: the root surely, "Defect" surely reached, "Marks" at three quarters.
    assert float(terms.mask) == pytest.approx(1 / (1 + 1 + 0.75), abs=1e-3)
    assert float(terms.targets.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("method", [Uda(0.4, 0.5), FixMatch(0.5), FixMatch(0.2)])
def test_children_that_are_all_alike_are_no_decision_at_any_threshold(method):
    """Of two alike each has 0.5, which is not below 0.5; the first is no answer."""
    # Root: a defect, 0.9. Defect: Rust and Marks alike. Marks: Scratch, nearly.
    weak = torch.tensor([[0.01, 0.1, 0.01, 0.45, 0.43]], dtype=torch.float64).log()
    strong = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    terms, _ = TreeConsistency(method, DEEP)(weak, strong, torch.zeros(1), {})
    assert terms.by_node is not None
    kept = {name: float(part / whole) for name, (whole, part) in terms.by_node.items()}
    assert kept == {ROOT: 1.0, "Defect": 0.0, "Marks": 1.0}
    terms.loss.sum().backward()
    below = strong.grad[0]
    # Neither Rust nor the marks as a whole gain on each other.
    torch.testing.assert_close(below[[0, 2, 4]].sum(), 3 * below[3])
    assert terms.named is not None
    assert terms.named.sum() == 0


def test_a_class_is_named_where_every_decision_leads_to_it():
    sure = torch.tensor(
        [[0.01, 0.95, 0.02, 0.01, 0.01], [0.01, 0.01, 0.01, 0.02, 0.95]]
    )
    terms, _ = TreeConsistency(FixMatch(0.9), DEEP)(
        sure.log(), torch.zeros(2, 5), torch.arange(2), {}
    )
    assert terms.named is not None
    assert terms.named.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_a_node_that_is_hardly_reached_hardly_counts():
    weak = torch.tensor([[0.0, 12.0, 0.0, 0.0, 9.0]], dtype=torch.float64)
    strong = torch.zeros(1, 5, dtype=torch.float64)
    terms, _ = TreeConsistency(FixMatch(0.0), DEEP)(weak, strong, torch.zeros(1), {})
    reached = float(weak.softmax(1)[0, [0, 2, 3, 4]].sum())
    marks = float(weak.softmax(1)[0, [0, 2, 4]].sum())
    # From zero logits: Good against four; Rust against three; one of three.
    wanted = math.log(5) - reached * math.log(3 / 4) + marks * math.log(3)
    assert float(terms.loss) == pytest.approx(wanted, abs=1e-9)
