"""Bernoulli consistency against a literal version."""

from __future__ import annotations

import math

import pytest
import torch

from uda.objectives.consistency.bernoulli import (
    BernoulliUda,
    bernoulli_kl,
    sharpen_each,
    two_sided_mask,
)
from uda.objectives.consistency.uda import uda_loss


def logits(seed, shape=(6, 4)):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def xlog(x, y):
    return 0.0 if x == 0 else x * math.log(x / y)


@pytest.mark.parametrize("temperature", [None, 0.4, 0])
def test_literal_loss(temperature):
    weak, strong = logits(1), logits(2).requires_grad_()
    terms, memory = BernoulliUda(temperature, 0.8)(weak, strong, torch.arange(6), {})
    assert memory == {}
    for i in range(6):
        total = kept = 0.0
        for c in range(4):
            p, q = sigmoid(weak[i, c].item()), sigmoid(strong[i, c].item())
            if temperature == 0:
                t = float(p > 0.5)
            elif temperature is None:
                t = p
            else:
                a, b = p ** (1 / temperature), (1 - p) ** (1 / temperature)
                t = a / (a + b)
            sure = p > 0.8 or p < 1 - 0.8
            assert terms.entries[i, c].item() == float(sure)
            assert terms.targets[i, c].item() == pytest.approx(t, abs=1e-9)
            kept += sure
            total += sure * (xlog(t, q) + xlog(1 - t, 1 - q))
        assert terms.loss[i].item() == pytest.approx(total / 4, abs=1e-6)
        assert terms.mask[i].item() == pytest.approx(kept / 4)
    assert 0 < terms.mask.mean().item() < 1
    terms.loss.mean().backward()
    assert torch.isfinite(strong.grad).all()
    assert (strong.grad[terms.entries == 0] == 0).all()


def test_no_gradient_reaches_the_weak_view():
    weak, strong = logits(1).requires_grad_(), logits(2).requires_grad_()
    terms, _ = BernoulliUda()(weak, strong, torch.arange(6), {})
    terms.loss.sum().backward()
    assert weak.grad is None
    assert not terms.targets.requires_grad


def test_one_class_is_the_two_class_softmax():
    # sigmoid(z) = softmax([z, 0]): the gate and the divergence are UDA's then.
    weak, strong = logits(3, (9, 1)), logits(4, (9, 1))
    none = torch.zeros_like(weak)
    pair = uda_loss(torch.cat([weak, none], 1), torch.cat([strong, none], 1))
    terms, _ = BernoulliUda()(weak, strong, torch.arange(9), {})
    torch.testing.assert_close(terms.loss, pair.loss)
    torch.testing.assert_close(terms.mask, pair.mask)


def test_divergence_is_zero_at_the_target_and_finite_far_off():
    z = logits(5)
    torch.testing.assert_close(bernoulli_kl(z.sigmoid(), z), torch.zeros_like(z))
    far = torch.full((1, 1), 500.0)
    assert torch.isfinite(bernoulli_kl(torch.zeros(1, 1), far)).all()


def test_no_threshold_keeps_all_and_the_comparison_is_strict():
    z = torch.tensor([[0.0]])
    assert two_sided_mask(z, None).item() == 1
    assert two_sided_mask(z, 0.5).item() == 0
    assert sharpen_each(z, 0.1).item() == 0.5
