"""Entropy against the sum over classes, and its two known ends."""

from __future__ import annotations

import math

import pytest
import torch

from uda.objectives.entropy import entropy


def test_entropy_is_the_literal_sum():
    probs = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    wanted = [-sum(p * math.log(p) for p in row) for row in probs]
    logits = torch.tensor(probs, dtype=torch.float64).log() + 5
    assert entropy(logits).tolist() == pytest.approx(wanted, abs=1e-12)


def test_uniform_is_log_of_the_classes_and_certainty_is_zero():
    logits = torch.tensor([[0.0] * 4, [2000.0, 0.0, 0.0, 0.0]], requires_grad=True)
    found = entropy(logits)
    found.sum().backward()
    assert found.tolist() == pytest.approx([math.log(4), 0.0], abs=1e-6)
    assert logits.grad.isfinite().all()
