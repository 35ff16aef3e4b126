"""Targets: the published effect of sharpening, one-hot pseudo-labels, no gradient."""

from __future__ import annotations

import pytest
import torch

from uda.objectives.consistency.targets import hard, sharpen


@pytest.mark.parametrize(("num_classes", "top"), [(2, 0.970), (6, 0.997), (10, 0.999)])
def test_sharpening_lifts_a_confidence_of_eighty_percent(num_classes, top):
    probs = torch.full((1, num_classes), 0.2 / (num_classes - 1), dtype=torch.float64)
    probs[0, 0] = 0.8
    found = sharpen(probs.log(), 0.4)
    assert found[0, 0].item() == pytest.approx(top, abs=0.00051)
    # p^(1/T), normalised: the same thing said with probabilities.
    powers = probs**2.5
    torch.testing.assert_close(found, powers / powers.sum())


def test_without_temperature_targets_are_the_probabilities():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(sharpen(logits, None), logits.softmax(1))
    torch.testing.assert_close(sharpen(logits, 1.0), logits.softmax(1))


def test_hard_targets_are_one_hot():
    logits = torch.tensor([[0.1, 0.3, 0.2], [5.0, -1.0, 4.9]])
    assert hard(logits).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("target", [lambda z: sharpen(z, 0.4), hard])
def test_targets_carry_no_gradient(target):
    logits = torch.randn(3, 4, requires_grad=True)
    assert not target(logits).requires_grad
