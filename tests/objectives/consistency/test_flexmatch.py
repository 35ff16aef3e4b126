from __future__ import annotations

import pytest
import torch

from tests.objectives.consistency.family import (
    ROWS,
    check_gradients,
    shape,
    steps,
    total,
)
from tests.reference import family as literal
from uda.objectives.consistency.flexmatch import FlexMatch


@pytest.mark.parametrize("threshold", [0.6, 0.95])
def test_equals_the_literal_form_over_steps(threshold):
    method = FlexMatch(threshold)
    memory = method.memory(shape(4))
    slow = literal.FlexMatch(4, ROWS.tolist(), threshold)
    kept = []
    for weak, strong, index in steps(4, count=10, scale=12.0):
        terms, memory = method(weak, strong, index, memory)
        wanted, mask = slow.step(weak.tolist(), strong.tolist(), index.tolist())
        assert abs(total(terms).item() - wanted) < 1e-6
        assert terms.mask.tolist() == mask
        kept += mask
        rows, fixed = weak.tolist(), list(mask)

        def frozen(s, rows=rows, fixed=fixed):
            return sum(
                m * literal.cross_entropy(literal.argmax(w), z)
                for m, w, z in zip(fixed, rows, s, strict=True)
            ) / len(rows)

        check_gradients(total(terms), weak, strong, frozen)
    assert 0 < sum(kept) < len(kept)
    assert {i: int(memory["last_sure"][i]) for i in slow.last} == slow.last


def test_known_answers_of_the_convex_map():
    method = FlexMatch(1.0)
    last = torch.full((200,), -2)
    last[:100], last[100:150], last[150:160] = 0, 1, 2
    found = method.thresholds({"last_sure": last}, 3)
    torch.testing.assert_close(
        found, torch.tensor([1.0, 0.5 / 1.5, 0.1 / 1.9], dtype=torch.float64)
    )
    assert round(float(found[1]), 3) == 0.333
    assert round(float(found[2]), 4) == 0.0526


def test_a_floor_holds_and_the_memory_is_not_changed_in_place():
    method = FlexMatch(0.95, floor=0.5)
    memory = method.memory(shape(4))
    before = memory["last_sure"].clone()
    assert method.thresholds(memory, 4).tolist() == [0.5] * 4
    weak, strong, index = next(steps(5, scale=9.0))
    _, after = method(weak, strong, index, memory)
    assert torch.equal(memory["last_sure"], before)
    assert not torch.equal(after["last_sure"], before)
