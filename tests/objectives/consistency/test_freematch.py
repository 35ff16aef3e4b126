from __future__ import annotations

import pytest
import torch

from tests.objectives.consistency.family import check_gradients, shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.freematch import FreeMatch


@pytest.mark.parametrize("fairness", [0.0, 0.5])
def test_equals_the_literal_form_over_steps(fairness):
    method = FreeMatch(momentum=0.8, fairness=fairness)
    memory = method.memory(shape(4))
    slow = literal.FreeMatch(4, 0.8, fairness)
    for weak, strong, index in steps(6):
        saved = (slow.tau, list(slow.p), list(slow.h))
        terms, memory = method(weak, strong, index, memory)
        rows = weak.tolist()
        wanted, kept = slow.step(rows, strong.tolist())
        assert abs(total(terms).item() - wanted) < 1e-6
        assert int(terms.mask.sum()) == kept

        def again(s, saved=saved, rows=rows):
            other = literal.FreeMatch(4, 0.8, fairness)
            other.tau, other.p, other.h = saved[0], list(saved[1]), list(saved[2])
            return other.step(rows, s)[0]

        check_gradients(total(terms), weak, strong, again)


def test_a_cap_holds_and_nothing_kept_costs_nothing():
    method = FreeMatch(momentum=0.0, cap=0.3)
    weak = torch.eye(4, dtype=torch.float64) * 9
    _, after = method(weak, weak, torch.arange(4), method.memory(shape(4)))
    assert float(after["confidence"]) == pytest.approx(0.3)
    flat = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    memory = {**after, "confidence": torch.tensor(2.0, dtype=torch.float64)}
    terms, _ = FreeMatch(momentum=1.0)(flat.detach(), flat, torch.arange(2), memory)
    total(terms).backward()
    assert total(terms).item() == 0.0
    assert torch.isfinite(flat.grad).all()


def test_images_without_an_opinion_count_nowhere():
    method = FreeMatch(momentum=0.5, fairness=0.5)
    weak = torch.tensor([[2.0, 0, 1], [0, 0, 0], [1, 3, 0]], dtype=torch.float64)
    strong = torch.tensor([[1.0, 0, 2], [9, 0, 0], [0, 2, 1]], dtype=torch.float64)
    index = torch.arange(3)
    terms, after = method(weak, strong, index, method.memory(shape(3)))
    told = [0, 2]
    others, alone = method(
        weak[told], strong[told], index[told], method.memory(shape(3))
    )
    for name, value in alone.items():
        torch.testing.assert_close(after[name], value, atol=1e-12, rtol=0)
    torch.testing.assert_close(terms.penalty, others.penalty, atol=1e-12, rtol=0)
    assert terms.mask[1] == 0
