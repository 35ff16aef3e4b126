from __future__ import annotations

import torch

from tests.objectives.consistency.family import shape, steps, total
from uda.objectives.consistency.by_class import LIMITS, ByClass
from uda.objectives.consistency.uda import Uda


def test_equal_thresholds_are_the_method_itself():
    method = ByClass(Uda(0.4, None), 0.8)
    for weak, strong, index in steps(0):
        terms, memory = method(weak, strong, index, method.memory(shape(4)))
        plain, _ = Uda(0.4, 0.8)(weak, strong, index, {})
        torch.testing.assert_close(total(terms), total(plain))
        assert torch.equal(terms.mask, plain.mask)
        assert list(memory) == [LIMITS]


def test_a_lower_threshold_lets_only_its_class_in():
    weak = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # confidence 0.73 each
    limits = {LIMITS: torch.tensor([0.9, 0.6])}
    method = ByClass(Uda(0.4, None), 0.9)
    terms, _ = method(weak, weak, torch.arange(2), limits)
    assert terms.mask.tolist() == [0.0, 1.0]
