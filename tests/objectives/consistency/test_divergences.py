"""Divergences against torch's own, their gradients, and their zeros."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from uda.objectives.consistency.divergences import ce, kl, mse


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(3)
    targets = torch.randn(9, 5, generator=generator, dtype=torch.float64).softmax(1)
    strong = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    return targets, strong.requires_grad_()


def test_kl_is_torchs_kl_summed_over_classes(pair):
    targets, strong = pair
    wanted = F.kl_div(strong.log_softmax(1), targets, reduction="none").sum(1)
    torch.testing.assert_close(kl(targets, strong), wanted)


def test_ce_is_torchs_soft_cross_entropy(pair):
    targets, strong = pair
    wanted = F.cross_entropy(strong, targets, reduction="none")
    torch.testing.assert_close(ce(targets, strong), wanted)


def test_mse_is_torchs_mean_over_classes(pair):
    targets, strong = pair
    wanted = F.mse_loss(strong.softmax(1), targets, reduction="none").mean(1)
    torch.testing.assert_close(mse(targets, strong), wanted)


def test_kl_and_soft_cross_entropy_have_the_same_gradient(pair):
    targets, strong = pair
    (by_kl,) = torch.autograd.grad(kl(targets, strong).sum(), strong)
    (by_ce,) = torch.autograd.grad(ce(targets, strong).sum(), strong)
    assert torch.equal(by_kl, by_ce)
    # Known in closed form: softmax minus target.
    torch.testing.assert_close(by_kl, strong.softmax(1) - targets)


def test_kl_is_not_negative_and_zero_where_both_agree(pair):
    targets, strong = pair
    assert (kl(targets, strong) > 0).all()
    agreeing = kl(targets, targets.log() + 7.0)
    torch.testing.assert_close(agreeing, torch.zeros_like(agreeing))


@pytest.mark.parametrize("divergence", [kl, ce, mse])
def test_targets_get_no_gradient(divergence, pair):
    targets, strong = pair
    targets.requires_grad_()
    divergence(targets, strong).sum().backward()
    assert targets.grad is None
    assert strong.grad.abs().sum() > 0


@pytest.mark.parametrize("divergence", [kl, ce, mse])
def test_one_hot_targets_and_extreme_logits_stay_finite(divergence):
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    strong = torch.tensor([[900.0, -900.0], [-80.0, 80.0]], requires_grad=True)
    loss = divergence(targets, strong)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert strong.grad.isfinite().all()
