from __future__ import annotations

import torch

from tests.objectives.consistency.family import shape, steps, total
from tests.reference import family as literal
from uda.objectives.consistency.pseudo_label import PseudoLabel


def test_equals_the_literal_form():
    method = PseudoLabel(0.8)
    for weak, strong, index in steps(2):
        terms, _ = method(weak, strong, index, method.memory(shape(4)))
        wanted = literal.fixmatch(weak.tolist(), strong.tolist(), 0.8)
        assert abs(total(terms).item() - wanted) < 1e-6


def test_the_comparison_is_strict():
    weak = torch.zeros(1, 2, dtype=torch.float64)
    terms, _ = PseudoLabel(0.5)(weak, weak, torch.zeros(1), {})
    assert terms.mask.tolist() == [0.0]
