"""The averaged model against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from uda.models.ema import Ema, decay_at


def small_model(seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator))
    return model


def test_decay_warms_up():
    assert [decay_at(t, 0.99) for t in (0, 1, 8)] == [0.1, 2 / 11, 0.5]
    assert decay_at(10**6, 0.99) == 0.99
    assert decay_at(500, 0.0) == 0.0


def test_constant_updates_follow_the_closed_form():
    start, live = small_model(0), small_model(1)
    ema = Ema(start, 0.9)
    for step in range(200):
        ema.update(live, step)
    # Every update multiplies the distance to the constant by its decay.
    left = math.prod(min(0.9, (1 + t) / (10 + t)) for t in range(200))
    for name, value in ema.model.state_dict().items():
        if value.is_floating_point():
            a, b = start.state_dict()[name], live.state_dict()[name]
            torch.testing.assert_close(value, b + left * (a - b))


def test_changing_updates_equal_the_recursion_in_python():
    model = nn.Linear(1, 1, bias=False).double()
    ema = Ema(model, 0.8)
    average = model.weight.item()
    for step in range(60):
        model.weight.data.fill_(math.sin(step))
        ema.update(model, step)
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * math.sin(step)
    assert ema.model.weight.item() == pytest.approx(average, abs=1e-12)


def test_after_decay_zero_the_copy_equals_the_model():
    model = small_model()
    ema = Ema(model, 0.0)
    model.train()(torch.randn(16, 3, dtype=torch.float64))
    for parameter in model.parameters():
        parameter.data.add_(0.37)
    ema.update(model, 10**6)
    for name, value in ema.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert ema.model[1].num_batches_tracked == 1


def test_batch_norm_buffers_are_averaged_and_integers_copied():
    model = small_model()
    ema = Ema(model, 0.5)
    before = model[1].running_mean.clone()
    for _ in range(3):
        model.train()(torch.randn(16, 3, dtype=torch.float64))
    ema.update(model, 10**6)
    wanted = 0.5 * before + 0.5 * model[1].running_mean
    torch.testing.assert_close(ema.model[1].running_mean, wanted)
    assert ema.model[1].num_batches_tracked == 3
    assert ema.model[1].num_batches_tracked.dtype == torch.int64


def test_the_copy_is_separate_frozen_and_in_evaluation_mode():
    model = small_model().train()
    ema = Ema(model, 0.9)
    assert not ema.model.training
    assert model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert all(p.requires_grad for p in model.parameters())
    live = {name: value.clone() for name, value in model.state_dict().items()}
    ema.update(small_model(5), 0)
    assert all(torch.equal(live[k], v) for k, v in model.state_dict().items())


def test_state_goes_round():
    ema = Ema(small_model(0), 0.93)
    ema.update(small_model(1), 4)
    state = {"decay": ema.decay, "model": dict(ema.state_dict()["model"])}
    other = Ema(small_model(2), 0.5)
    other.load_state_dict(state)
    assert other.decay == 0.93
    ema.update(small_model(3), 5)
    other.update(small_model(3), 5)
    for name, value in ema.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name])


def test_reset_forgets():
    ema = Ema(small_model(0), 0.9)
    ema.reset(small_model(1))
    for name, value in small_model(1).state_dict().items():
        assert torch.equal(ema.model.state_dict()[name], value)
