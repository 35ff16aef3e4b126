from __future__ import annotations

import pytest
import torch

from tests.objectives.consistency.family import check_gradients, shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.fixmatch import FixMatch


@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.95, 1.0])
def test_equals_the_literal_form(threshold):
    method = FixMatch(threshold)
    for weak, strong, index in steps(1):
        terms, memory = method(weak, strong, index, method.memory(shape(4)))
        rows = weak.tolist()
        value = total(terms)
        wanted = literal.fixmatch(rows, strong.tolist(), threshold)
        assert abs(value.item() - wanted) < 1e-6
        assert memory == {}
        check_gradients(
            value,
            weak,
            strong,
            lambda s, rows=rows: literal.fixmatch(rows, s, threshold),
        )


def test_equality_keeps():
    weak = torch.zeros(1, 2, dtype=torch.float64)  # confidence is exactly one half
    terms, _ = FixMatch(0.5)(weak, weak, torch.zeros(1), {})
    assert terms.mask.tolist() == [1.0]
