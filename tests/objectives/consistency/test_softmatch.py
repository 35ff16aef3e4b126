from __future__ import annotations

import torch

from tests.objectives.consistency.family import check_gradients, shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.softmatch import SoftMatch


def test_equals_the_literal_form_over_steps():
    method = SoftMatch(momentum=0.6)
    memory = method.memory(shape(4))
    slow = literal.SoftMatch(4, 0.6)
    for weak, strong, index in steps(7, scale=2.0):
        terms, memory = method(weak, strong, index, memory)
        rows = weak.tolist()
        wanted = slow.step(rows, strong.tolist())
        assert abs(total(terms).item() - wanted) < 1e-6
        weights = terms.mask.tolist()

        def frozen(s, rows=rows, weights=weights):
            return sum(
                m * literal.cross_entropy(literal.argmax(w), z)
                for m, w, z in zip(weights, rows, s, strict=True)
            ) / len(rows)

        check_gradients(total(terms), weak, strong, frozen)
    assert set(memory) >= {"mean", "variance"}


def test_a_batch_of_one_is_finite():
    method = SoftMatch()
    weak = torch.randn(1, 3)
    terms, after = method(weak, weak, torch.zeros(1), method.memory(shape(3)))
    assert torch.isfinite(terms.loss).all()
    assert torch.isfinite(after["variance"])


def test_images_without_an_opinion_leave_the_averages_alone():
    method = SoftMatch(momentum=0.5)
    weak = torch.tensor([[2.0, 0, 1], [0, 0, 0], [1, 3, 0]], dtype=torch.float64)
    start, index = method.memory(shape(3)), torch.arange(3)
    _, after = method(weak, weak, index, start)
    slow = literal.SoftMatch(3, 0.5)
    slow.step([weak[0].tolist(), weak[2].tolist()], weak[:2].tolist())
    assert abs(float(after["mean"]) - slow.mu) < 1e-9
    assert abs(float(after["variance"]) - slow.var) < 1e-9
    _, still = method(weak[1:2], weak[1:2], index[:1], after)
    assert still == after
