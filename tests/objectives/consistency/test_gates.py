"""The gate looks at unsharpened probabilities and compares strictly."""

from __future__ import annotations

import torch

from uda.objectives.consistency.gates import confidence_mask, has_opinion


def test_the_comparison_is_strict():
    logits = torch.zeros(3, 2, dtype=torch.float64)
    logits[1, 0] = 1e-9
    assert confidence_mask(logits, 0.5).tolist() == [0, 1, 0]


def test_unsharpened_probabilities_decide():
    # 0.7 sharpened at 0.4 would be 0.89: above the threshold, but not asked.
    logits = torch.log(torch.tensor([[0.7, 0.3], [0.85, 0.15], [0.1, 0.9]]))
    mask = confidence_mask(logits, 0.8)
    assert mask.tolist() == [0, 1, 1]


def test_none_keeps_all_and_nothing_has_gradient():
    logits = torch.zeros(4, 3, requires_grad=True)
    mask = confidence_mask(logits, None)
    assert mask.tolist() == [1] * 4
    assert not mask.requires_grad
    assert not confidence_mask(logits, 0.2).requires_grad


def test_a_uniform_target_is_no_opinion():
    logits = torch.tensor([[0.5, 0.5], [0.501, 0.499]]).log().requires_grad_()
    found = has_opinion(logits)
    assert found.tolist() == [False, True]
    assert has_opinion(torch.full((2, 3), -7.0)).tolist() == [False, False]
    assert not found.requires_grad
