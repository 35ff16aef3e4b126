"""Losses leave 16-bit arithmetic."""

from __future__ import annotations

import pytest
import torch

from uda.objectives.consistency.divergences import ce, kl, mse
from uda.objectives.consistency.gates import confidence_mask
from uda.objectives.consistency.targets import hard, sharpen
from uda.objectives.entropy import entropy
from uda.objectives.precision import full_precision
from uda.objectives.supervised import cross_entropy


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_sixteen_bits_become_thirty_two_and_more_stays(dtype, wanted):
    assert full_precision(torch.zeros(1, dtype=dtype)).dtype == wanted


def test_every_objective_is_fp32_under_autocast():
    weak = torch.tensor([[30.0, 0.0, -30.0], [1.0, 0.5, 0.0]], dtype=torch.bfloat16)
    strong = weak.flip(1).requires_grad_()
    labels = torch.tensor([2, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        targets = sharpen(weak, 0.4)
        results = [
            cross_entropy(strong, labels),
            targets,
            hard(weak),
            confidence_mask(weak, 0.8),
            kl(targets, strong),
            ce(targets, strong),
            mse(targets, strong),
            entropy(strong),
        ]
    for result in results:
        assert result.dtype == torch.float32
        assert result.isfinite().all()
    # bf16 has 8 bits: log(1 + e^0.5 + e^1) computed there is off by about 1e-2.
    exact = cross_entropy(strong.double(), labels)
    torch.testing.assert_close(results[0].double(), exact, atol=1e-6, rtol=1e-6)
