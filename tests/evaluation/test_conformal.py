"""Conformal sets: coverage over many draws, known answers, too few groups."""

from __future__ import annotations

import numpy as np
import pytest

from uda.errors import DataError
from uda.evaluation.calibration import scaled
from uda.evaluation.conformal import (
    class_limits,
    fit_lane,
    needed_groups,
    prediction_sets,
    quantile,
    unsure,
)


def drawn(rng, num, prior=(0.6, 0.3, 0.1)):
    targets = rng.choice(3, num, p=prior)
    logits = rng.normal(0, 1, (num, 3))
    logits[np.arange(num), targets] += 1.0
    return scaled(logits), targets


def test_known_answers_of_the_quantile():
    scores = np.arange(1.0, 20.0)  # 19: the 19th smallest at 0.95
    assert quantile(scores, range(19), 0.95) == 19
    assert quantile(scores, range(19), 0.9) == 18
    assert quantile(scores[:18], range(18), 0.95) == np.inf
    assert quantile(np.zeros(0), [], 0.5) == np.inf
    assert quantile(np.array([1.0, 1.0, 2.0]), range(3), 0.5) == 1  # ties


@pytest.mark.parametrize(("coverage", "need"), [(0.9, 9), (0.95, 19), (0.99, 99)])
def test_how_many_groups_a_class_needs(coverage, need):
    assert needed_groups(coverage) == need
    scores = np.random.default_rng(0).random(need)
    assert np.isfinite(quantile(scores, range(need), coverage))
    assert np.isinf(quantile(scores[1:], range(need - 1), coverage))


def test_images_of_one_group_share_its_weight():
    scores = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 6.0, 7.0])
    groups = ["a", "a", "a", "a", "b", "c", "d"]
    # a, b, c and d weigh 1/5 each: 0.6 is reached at c.
    assert quantile(scores, groups, 0.6) == 6.0
    assert quantile(scores, groups, 0.2) == 1.0


def test_coverage_holds_per_class_over_1000_draws():
    rng = np.random.default_rng(1)
    covered = np.zeros((1000, 3))
    for draw in range(1000):
        logs, targets = drawn(rng, 120, (0.4, 0.35, 0.25))
        limits = class_limits(logs, targets, range(120), 0.9)
        logs, targets = drawn(rng, 200, (0.4, 0.35, 0.25))
        inside = prediction_sets(logs, limits)[np.arange(200), targets]
        covered[draw] = [inside[targets == c].mean() for c in range(3)]
    mean = covered.mean(axis=0)
    assert (mean >= 0.9 - 0.004).all()  # three standard errors of the simulation
    assert (mean <= 0.9 + 0.05).all()


def test_coverage_holds_for_images_in_groups():
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(1000):
        sizes = rng.integers(1, 6, 31)
        part = np.repeat(rng.exponential(1, 31), sizes)
        scores = part + rng.exponential(0.3, part.size)
        names = np.repeat(np.arange(31), sizes)
        limit = quantile(scores[names < 30], names[names < 30], 0.9)
        covered.append((scores[names == 30] <= limit).mean())
    assert np.mean(covered) >= 0.9 - 3 * 0.3 / 1000**0.5


def test_a_class_with_too_few_groups_is_in_every_set():
    logs, targets = drawn(np.random.default_rng(3), 100)
    rare = np.flatnonzero(targets == 2)
    kept = np.setdiff1d(np.arange(100), rare[5:])
    limits = class_limits(logs[kept], targets[kept], range(kept.size), 0.9)
    assert np.isinf(limits[2])
    assert np.isfinite(limits[:2]).all()
    assert prediction_sets(logs, limits)[:, 2].all()


def test_the_lane_falls_back_on_all_classes_and_says_so():
    logs, targets = drawn(np.random.default_rng(3), 60)
    lane = fit_lane(logs, targets, range(60), coverage=0.9)
    assert lane.promised == (True, True, int((targets == 2).sum()) >= 9)
    assert np.isfinite(lane.limits).all()
    together = quantile(-logs[np.arange(60), targets], range(60), 0.9)
    assert lane.promised[2] or lane.limits[2] == together
    with pytest.raises(DataError, match=r"takes 199 images .* here are 60 in all"):
        fit_lane(logs, targets, range(60), coverage=0.995)


def test_which_answers_stand():
    sets = np.array(
        [[1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]], np.bool_
    )
    answers = np.array([0, 1, 1, 0, 2, 1])
    found = unsure(sets, answers, None)
    assert found.tolist() == [False, False, True, True, True, True]
    # Rejected as one defect or another: no question of good or bad is open.
    found = unsure(sets, answers, 0)
    assert found.tolist() == [False, False, False, True, True, True]
