from __future__ import annotations

import math

import pytest
import torch

from uda.errors import UsageError
from uda.objectives.focal import focal
from uda.objectives.supervised import cross_entropy


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_equals_the_formula_and_its_gradient_is_finite(gamma):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64) * 3
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    logits[0] = torch.tensor([800.0, 0.0, 0.0])  # p = 1
    logits.requires_grad_()
    found = focal(logits, labels, gamma=gamma)
    for row, label, value in zip(
        logits.tolist()[1:], labels.tolist()[1:], found.tolist()[1:], strict=True
    ):
        p = math.exp(row[label]) / sum(math.exp(z) for z in row)
        assert value == pytest.approx(-((1 - p) ** gamma) * math.log(p), abs=1e-9)
    assert found[0].item() == 0.0
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_gamma_zero_is_cross_entropy_and_negative_is_refused():
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(
        focal(logits, labels, gamma=0.0), cross_entropy(logits, labels)
    )
    with pytest.raises(UsageError, match="gamma"):
        focal(logits, labels, gamma=-1)
