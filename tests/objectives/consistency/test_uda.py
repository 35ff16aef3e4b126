"""UDA's composition against a literal step, and its rules one by one."""

from __future__ import annotations

import pytest
import torch

from tests.reference.uda_step import consistency_term, uda_step_loss
from uda.objectives.annealing import mean_over_kept, tsa_mask, tsa_threshold
from uda.objectives.consistency.uda import uda_loss
from uda.objectives.entropy import entropy
from uda.objectives.supervised import cross_entropy


def draw(seed, num_classes, scale):
    generator = torch.Generator().manual_seed(seed)
    shapes = (5, 11, 11)
    logits = [
        (
            torch.randn(n, num_classes, generator=generator, dtype=torch.float64)
            * scale
        ).requires_grad_()
        for n in shapes
    ]
    labels = torch.randint(num_classes, (5,), generator=generator)
    return *logits, labels


@pytest.mark.parametrize("schedule", [None, "log", "linear", "exp"])
@pytest.mark.parametrize(
    ("num_classes", "scale", "seed"), [(2, 2, 0), (6, 3, 1), (10, 5, 2), (4, 0.3, 3)]
)
def test_loss_and_gradients_equal_the_literal_step(schedule, num_classes, scale, seed):
    labeled, weak, strong, labels = draw(seed, num_classes, scale)
    settings = {"temperature": 0.4, "consistency_weight": 1.7, "entropy_weight": 0.1}
    literal = uda_step_loss(
        list(labeled),
        labels,
        list(weak),
        list(strong),
        progress=0.3,
        schedule=schedule,
        confidence=0.8,
        **settings,
    )
    wanted = torch.autograd.grad(literal, (labeled, weak, strong), allow_unused=True)

    losses = cross_entropy(labeled, labels)
    supervised = losses.mean()
    if schedule is not None:
        threshold = tsa_threshold(0.3, num_classes, schedule)
        supervised = mean_over_kept(losses, tsa_mask(labeled, labels, threshold))
    terms = uda_loss(weak, strong, temperature=0.4, threshold=0.8)
    ours = supervised + 1.7 * terms.loss.mean() + 0.1 * entropy(weak).mean()
    found = torch.autograd.grad(ours, (labeled, weak, strong))

    torch.testing.assert_close(ours, literal, atol=1e-6, rtol=0)
    for a, b in zip(found, wanted, strict=True):
        b = torch.zeros_like(a) if b is None else b
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_the_cases_above_are_not_empty():
    shares = [
        uda_loss(*draw(s, c, k)[1:3]).mask.mean().item()
        for c, k, s in [(2, 2, 0), (6, 3, 1), (10, 5, 2), (4, 0.3, 3)]
    ]
    assert shares[-1] == 0
    assert all(0 < share < 1 for share in shares[:-1])


def test_half_masked_halves_the_loss():
    sure, unsure = torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([[0.1, 0.0, 0.0]])
    strong = torch.tensor([[0.0, 1.0, 0.0]])
    whole = uda_loss(sure.expand(4, 3), strong.expand(4, 3)).loss.mean()
    weak = torch.cat([sure.expand(2, 3), unsure.expand(2, 3)])
    terms = uda_loss(weak, strong.expand(4, 3))
    assert terms.mask.tolist() == [1, 1, 0, 0]
    assert terms.loss.tolist()[2:] == [0, 0]
    assert terms.loss.mean().item() == pytest.approx(whole.item() / 2)


def test_no_gradient_reaches_the_weak_view():
    _, weak, strong, _ = draw(5, 4, 5)
    terms = uda_loss(weak, strong)
    terms.loss.mean().backward()
    assert weak.grad is None
    assert strong.grad.abs().sum() > 0
    assert not terms.targets.requires_grad
    assert not terms.mask.requires_grad


def test_temperature_acts_on_the_target_and_not_on_the_gate_or_the_strong_view():
    _, weak, strong, _ = draw(6, 4, 3)
    soft = uda_loss(weak, strong, temperature=None, threshold=0.8)
    sharp = uda_loss(weak, strong, temperature=0.4, threshold=0.8)
    assert torch.equal(soft.mask, sharp.mask)
    assert not torch.equal(soft.targets, sharp.targets)
    literal = consistency_term(list(weak), list(strong), 1.0, 0.8)
    torch.testing.assert_close(soft.loss.mean(), literal)


def test_without_threshold_all_count():
    _, weak, strong, _ = draw(7, 4, 0.1)
    assert uda_loss(weak, strong, threshold=None).mask.tolist() == [1] * 11
    assert uda_loss(weak, strong).mask.tolist() == [0] * 11
