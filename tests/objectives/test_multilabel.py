"""Losses of several labels per image against literal versions and torch."""

from __future__ import annotations

import math

import pytest
import torch

from uda.errors import UsageError
from uda.objectives.multilabel import (
    asymmetric,
    binary_cross_entropy,
    positive_weights,
)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(4)
    logits = 4 * torch.randn(7, 5, generator=generator, dtype=torch.float64)
    targets = (torch.rand(7, 5, generator=generator) < 0.3).long()
    return logits.requires_grad_(), targets


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_binary_cross_entropy_literally(case):
    logits, targets = case
    weights = torch.tensor([1.0, 2.0, 10.0, 0.5, 3.0], dtype=torch.float64)
    found = binary_cross_entropy(logits, targets, positive_weights=weights).detach()
    logits = logits.detach()
    for i in range(7):
        terms = []
        for c in range(5):
            p = sigmoid(float(logits[i, c]))
            w = float(weights[c])
            terms.append(-w * math.log(p) if targets[i, c] else -math.log(1 - p))
        assert float(found[i]) == pytest.approx(sum(terms) / 5, abs=1e-6)


def test_asymmetric_loss_literally(case):
    logits, targets = case
    found = asymmetric(logits, targets)
    for i in range(7):
        total = 0.0
        for c in range(5):
            p = sigmoid(logits[i, c].item())
            if targets[i, c]:
                total -= (1 - p) ** 1 * math.log(p)
            else:
                shifted = max(p - 0.05, 0.0)
                total -= shifted**4 * math.log(1 - shifted)
        assert found[i].item() == pytest.approx(total / 5, abs=1e-6)
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_asymmetric_without_its_extras_is_cross_entropy(case):
    logits, targets = case
    plain = asymmetric(logits, targets, gamma_negative=0, gamma_positive=0, clip=0)
    torch.testing.assert_close(plain, binary_cross_entropy(logits, targets))


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    for loss in (asymmetric, binary_cross_entropy):
        value = loss(logits, torch.tensor([[0, 1]])).sum()
        (grad,) = torch.autograd.grad(value, logits)
        assert torch.isfinite(value)
        assert torch.isfinite(grad).all()


def test_positive_weights_balance_both_answers_within_a_cap():
    shares = torch.tensor([0.5, 0.2, 0.001, 1.0, 0.0])
    assert positive_weights(shares).tolist() == pytest.approx([1, 4, 10, 0.1, 10])
    found = positive_weights(shares, "sqrt").tolist()
    assert found == pytest.approx([1, 2, 10, 0.1, 10])
    with pytest.raises(UsageError, match="choose inverse or sqrt"):
        positive_weights(shares, "effective")
