"""Cross-fitting: no image is judged by a rule that saw its group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.test_tuning import drawn
from uda.evaluation.calibration import log_losses
from uda.evaluation.crossfit import (
    Change,
    calibration_helps,
    changes,
    cross_fit,
    folds_of,
    without_useless_temperature,
)
from uda.evaluation.tuning import TuneConfig, fit_rule
from uda.intervals import Interval


def test_folds_keep_groups_whole_and_spread_classes():
    sample = drawn(num=200, of_each=4)
    asked = np.zeros(200, int)
    rare = []
    for fit, ask in folds_of(sample, 5, 0):
        inside = {sample.groups[row] for row in ask}
        assert not inside & {sample.groups[row] for row in fit}
        assert fit.size + ask.size == 200
        asked[ask] += 1
        rare.append(int((sample.targets[ask] == 2).sum()))
    assert (asked == 1).all()
    assert max(rare) - min(rare) <= 4  # one group


def test_each_image_is_answered_by_a_rule_of_the_other_folds():
    sample, config = drawn(num=120), TuneConfig(bias=True, seed=3)
    found = cross_fit(config, sample, fit_rule(config, sample))
    for fit, ask in folds_of(sample, 5, 3):
        rule = fit_rule(config, sample.take(fit))
        logs = sample.log_probs[ask]
        assert (found.predicted[ask] == rule.answers(logs)).all()
        losses = log_losses(logs, sample.targets[ask], rule.temperature)
        assert found.losses[ask] == pytest.approx(losses)


def test_limits_of_folds_miss_the_same_share():
    """With a whole limit of 8 % misses, other images' escape is about that."""
    sample = drawn(num=1200, of_each=1)
    config = TuneConfig(good_class="Good", max_escape=0.1)
    rule = fit_rule(config, sample)
    answers = cross_fit(config, sample, rule)
    found = next(c for c in changes(config, sample, answers) if c.name == "escape")
    assert found.after == pytest.approx(
        rule.escape.missed / rule.escape.groups, abs=0.02
    )
    assert 0.05 < found.after < 0.1


def test_noise_gains_nothing():
    """Labels that have nothing to do with the answers: tuned scores rise."""
    config = TuneConfig(bias=True)
    optimism = []
    for seed in range(6):
        sample = drawn(seed=seed, num=60, of_each=1)
        shuffled = np.random.default_rng(seed).permutation(sample.targets)
        sample = replace(sample, targets=shuffled)
        rule = fit_rule(config, sample)
        honest = cross_fit(config, sample, rule)
        tuned = replace(honest, predicted=rule.answers(sample.log_probs))
        after, risen = (
            changes(config, sample, answers, draws=20)[0].after
            for answers in (honest, tuned)
        )
        optimism.append(risen - after)
        assert after < 0.45  # chance is a third
    assert np.mean(optimism) > 0.03  # what is not reported


def test_a_true_gain_is_found():
    sample = drawn(num=900, of_each=1)
    skewed = replace(sample, log_probs=sample.log_probs + np.array([3.0, 0, 0]))
    config = TuneConfig(bias=True, good_class="Good")
    answers = cross_fit(config, skewed, fit_rule(config, skewed))
    found = {c.name: c for c in changes(config, skewed, answers, draws=200)}
    assert list(found) == [
        "macro_f1",
        "balanced_accuracy",
        "escape",
        "overkill",
        "log_loss",
    ]
    assert found["macro_f1"].verdict == "better"
    assert found["escape"].verdict == "better"
    assert found["escape"].after < found["escape"].before


def test_costs_are_measured():
    costs = ((0.0, 1.0, 1.0), (30.0, 0.0, 1.0), (30.0, 1.0, 0.0))
    config, sample = TuneConfig(costs=costs), drawn()
    answers = cross_fit(config, sample, fit_rule(config, sample))
    found = next(c for c in changes(config, sample, answers) if c.name == "mean_cost")
    alone = np.asarray(costs)[sample.targets, sample.log_probs.argmax(axis=1)]
    assert found.before == pytest.approx(alone.mean())
    assert found.after < found.before


def test_a_temperature_that_does_not_help_is_left_out():
    sample = drawn(sharp=4.0)
    assert calibration_helps(sample)
    assert without_useless_temperature(TuneConfig(), sample).calibrate
    answers = cross_fit(TuneConfig(), sample, fit_rule(TuneConfig(), sample))
    assert answers.losses.mean() < log_losses(sample.log_probs, sample.targets).mean()
    right = sample.take(
        np.flatnonzero(sample.log_probs.argmax(axis=1) == sample.targets)
    )
    assert not without_useless_temperature(TuneConfig(), right).calibrate


def test_the_expected_share_of_unsure_parts_is_that_of_other_images():
    config = TuneConfig(coverage=0.9)
    sample, other = drawn(seed=4, num=600), drawn(seed=5, num=4000)
    rule = fit_rule(config, sample)
    expected = cross_fit(config, sample, rule).unsure.mean()
    assert expected == pytest.approx(rule.unsure(other.log_probs).mean(), abs=0.05)


@pytest.mark.parametrize(
    ("low", "high", "rising", "verdict"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, False, "better"),
        (-0.1, 0.2, True, "not shown"),
        (0.0, 0.0, True, "the same"),
    ],
)
def test_verdicts(low, high, rising, verdict):
    assert Change("x", 0.1, 0.2, Interval(low, high), rising).verdict == verdict


def test_what_the_data_cannot_say():
    assert Change("escape", None, None, None, False).verdict == "n/a"
    sample = drawn(num=40)
    good = replace(sample, targets=np.zeros_like(sample.targets))
    config = TuneConfig(good_class="Good")
    answers = cross_fit(config, good, fit_rule(config, good))
    found = {c.name: c for c in changes(config, good, answers, draws=50)}
    assert found["escape"].before is None
