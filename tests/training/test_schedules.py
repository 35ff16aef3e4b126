"""Schedules against torch's own and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch

from uda.training.configure import build_config
from uda.training.schedules import (
    annealing_progress,
    consistency_start,
    learning_rate_factor,
    ramp,
)


def factor(step, kind, total=100, warmup=0):
    return learning_rate_factor(step, total=total, kind=kind, warmup=warmup)


def test_uda_cosine_ends_at_a_fifth():
    assert factor(0, "cosine-7-16") == 1
    assert factor(100, "cosine-7-16") == pytest.approx(0.195, abs=5e-4)
    assert factor(50, "cosine-7-16") == pytest.approx(math.cos(7 * math.pi / 32))


def test_cosine_and_warmup():
    assert factor(100, "cosine") == pytest.approx(0)
    assert factor(50, "cosine") == pytest.approx(0.5)
    assert [factor(i, "constant", warmup=4) for i in range(5)] == [
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]


def test_one_cycle_equals_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    total = 101
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=total, cycle_momentum=False
    )
    for step in range(total):
        ours = factor(step, "one-cycle", total=total - 1)
        # torch's peak lies at 0.3 total - 1, ours at 0.3 total: one step apart.
        assert ours == pytest.approx(cycle.get_last_lr()[0], abs=0.025)
        optimizer.step()
        if step < total - 1:
            cycle.step()
    assert ours == pytest.approx(cycle.get_last_lr()[0], abs=1e-6)


def test_one_cycle_is_two_half_cosines():
    def literal(progress):
        low, end = 1 / 25, 1e-4 / 25
        start, stop, along = (
            (low, 1.0, progress / 0.3)
            if progress <= 0.3
            else (1.0, end, (progress - 0.3) / 0.7)
        )
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * along))

    found = [factor(step, "one-cycle") for step in range(101)]
    assert found == pytest.approx([literal(step / 100) for step in range(101)])
    assert found[30] == pytest.approx(1)


def test_ramp_and_annealing():
    assert [ramp(i, start=2, length=4) for i in range(7)] == [
        0,
        0,
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]
    assert ramp(0, start=0, length=0) == 1
    assert annealing_progress(5, length=10) == 0.5
    assert annealing_progress(10, length=10) is None


def test_unlabelled_branch_starts_at_its_share():
    config = build_config({"loop.steps": 200, "consistency.start_share": 0.25})
    assert consistency_start(config) == 50


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="sawtooth"):
        factor(0, "sawtooth")
