"""Range test: a quadratic whose best rate is known, noise, and a real model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.training.conftest import QUICK
from uda.errors import UsageError
from uda.training.configure import build_config
from uda.training.lr_finder import (
    HIGHEST,
    LOWEST,
    RangeTest,
    find_learning_rate,
    range_test,
)
from uda.training.prepare import build_parts
from uda.training.split import find_split


def descent(curvature):
    """One number under noisy gradients: the loss is a w^2 / 2, best rate 1 / a."""
    state = {"w": 1.0}

    def step(rate, number):
        loss = 0.5 * curvature * state["w"] ** 2
        noise = 0.1 if number % 2 else -0.1
        state["w"] -= rate * curvature * (state["w"] + noise)
        return loss

    return step


@pytest.mark.parametrize("curvature", [5.0, 100.0, 1000.0])
def test_a_quadratic_has_its_known_rate(curvature):
    found = range_test(descent(curvature))
    best = 1 / curvature
    # Below 2 / a it converges, above it diverges: the lowest loss lies near there.
    assert found.diverged
    assert best < 10 * found.tenth_of_lowest < 10 * best
    assert best / 50 < found.steepest < 2 * best


def test_suggestions_move_with_the_curvature():
    ratio = (HIGHEST / LOWEST) ** (10 / 99)
    one, other = range_test(descent(50 * ratio)), range_test(descent(50.0))
    assert other.steepest == pytest.approx(one.steepest * ratio)
    assert other.tenth_of_lowest == pytest.approx(one.tenth_of_lowest * ratio)


def test_smoothing_is_the_bias_corrected_mean():
    losses = [3.0, 1.0, 2.0, 5.0]
    found = range_test(lambda _rate, number: losses[number], steps=4)
    for n in range(4):
        weights = 0.9 ** np.arange(n, -1, -1)
        expected = np.average(losses[: n + 1], weights=weights)
        assert found.smoothed[n] == pytest.approx(expected)
    assert found.rates == pytest.approx(np.geomspace(1e-7, 10, 4))
    assert not found.diverged


def test_the_test_ends_where_the_loss_explodes_or_is_no_number():
    found = range_test(lambda _rate, number: 1.0 if number < 50 else 1e3)
    assert found.diverged
    assert len(found.rates) == 51
    found = range_test(lambda _rate, number: 1.0 if number < 50 else math.nan)
    assert found.diverged
    assert len(found.rates) == 50


def test_a_loss_that_never_falls_gives_no_suggestion(tmp_path):
    found = range_test(lambda _rate, number: 1.0 + number)
    assert found.steepest is None
    assert found.tenth_of_lowest is None
    found.save(tmp_path)
    assert RangeTest().steepest is None


@pytest.fixture
def tried(surfaces, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))

    def run(changes=None):
        keys = {**QUICK, "data.root": str(surfaces / "data"), **(changes or {})}
        config = build_config({k: v for k, v in keys.items() if v is not None})
        catalog, split, _ = find_split(config)
        parts = build_parts(config, catalog, split)
        return find_learning_rate(config, parts, steps=40, progress=None)

    return run


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_both_optimisers_are_tested_deterministically(tried, optimizer, tmp_path):
    found = tried({"optimizer.name": optimizer})
    again = tried({"optimizer.name": optimizer})
    assert (found.rates, found.losses) == (again.rates, again.losses)
    assert found.tenth_of_lowest is not None
    assert 1e-6 < found.tenth_of_lowest < 1
    found.save(tmp_path)
    picture = (tmp_path / "lr.png").read_bytes()
    again.save(tmp_path)
    assert (tmp_path / "lr.png").read_bytes() == picture
    assert len((tmp_path / "lr.csv").read_text().splitlines()) == len(found.rates) + 1


def test_the_final_size_and_the_runs_batch_count(tried):
    plain = tried()
    assert tried({"loop.batch": 9}).losses != plain.losses
    grown = {"data.size": None, "data.sizes": ((8, 8, 0.5), (16, 16, 0.5))}
    assert tried(grown).losses == plain.losses


def test_texture_has_no_rate(surfaces):
    config = build_config({"method": "texture", "data.root": str(surfaces / "data")})
    with pytest.raises(UsageError, match="no learning rate"):
        find_learning_rate(config, None, progress=None)


def test_nothing_is_left_of_the_model(tried):
    before = torch.random.get_rng_state()
    tried({"model.name": "wrn-10-1"})
    assert torch.equal(before, torch.random.get_rng_state())
