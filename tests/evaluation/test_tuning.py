"""Fitting a whole rule: what is asked for, contradictions, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from uda.errors import DataError, UsageError
from uda.evaluation.calibration import fit_temperature, scaled
from uda.evaluation.escape import log_odds
from uda.evaluation.predict import Predictions
from uda.evaluation.tuning import Sample, TuneConfig, check_config, fit_rule

CLASSES = ("Good", "Rust", "Scratch")
PRIOR = np.array([0.6, 0.3, 0.1])


def drawn(seed=0, num=300, of_each=2, sharp=1.5):
    """Answers of a model that is too sure of itself, images in groups."""
    rng = np.random.default_rng(seed)
    groups = num // of_each
    targets = np.repeat(rng.choice(3, groups, p=PRIOR), of_each)
    logits = rng.normal(0, 1, (targets.size, 3))
    logits[np.arange(targets.size), targets] += 2.0
    names = tuple(f"part{row // of_each}" for row in range(targets.size))
    logs = scaled(sharp * (logits + np.log(PRIOR)))
    return Sample(logs, targets, names, CLASSES)


def test_nothing_but_a_temperature_by_default():
    sample = drawn()
    rule = fit_rule(TuneConfig(), sample)
    assert rule.temperature == fit_temperature(sample.log_probs, sample.targets)
    assert (rule.bias, rule.costs, rule.escape, rule.lane) == ((), (), None, None)
    assert fit_rule(TuneConfig(calibrate=False), sample).temperature == 1


def test_everything_at_once():
    config = TuneConfig(bias=True, good_class="Good", max_escape=0.1, coverage=0.9)
    sample = drawn()
    rule = fit_rule(config, sample, certified=True)
    limit = rule.escape
    assert limit is not None
    assert limit.certified
    assert limit.groups == len(
        {g for g, t in zip(sample.groups, sample.targets, strict=True) if t}
    )
    assert rule.bias[0] == 0  # the limit decides about good, not a bias
    assert rule.bias[1] + rule.bias[2] == pytest.approx(0)
    assert rule.lane is not None
    assert rule.lane.good_class == "Good"
    passed = rule.answers(sample.log_probs) == 0
    assert (passed == (log_odds(sample.log_probs, 0) < limit.threshold)).all()
    assert 0 < passed[sample.targets > 0].mean() <= 0.1


def test_costs_with_a_bias_cost_no_more_than_without():
    costs = ((0.0, 1.0, 1.0), (20.0, 0.0, 1.0), (20.0, 1.0, 0.0))
    sample = drawn(sharp=3.0)
    found = {}
    for bias in (False, True):
        rule = fit_rule(TuneConfig(bias=bias, costs=costs, calibrate=False), sample)
        answers = rule.answers(sample.log_probs)
        found[bias] = np.asarray(costs)[sample.targets, answers].mean()
    alone = np.asarray(costs)[sample.targets, sample.log_probs.argmax(axis=1)].mean()
    assert found[True] < found[False] < alone


def test_the_seed_decides():
    sample, config = drawn(), TuneConfig(bias=True)
    assert fit_rule(config, sample) == fit_rule(config, sample)
    other = fit_rule(replace(config, seed=1), sample)
    assert other.bias != fit_rule(config, sample).bias


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TuneConfig(good_class="good"), "its classes: Good, Rust"),
        (TuneConfig(max_escape=0.1), "--max-escape needs --good-class"),
        (
            TuneConfig(good_class="Good", max_escape=0.1, costs=((0.0,),)),
            "keep one",
        ),
    ],
)
def test_contradictions(config, message):
    with pytest.raises(UsageError, match=message):
        check_config(config, CLASSES)


def test_a_class_called_unsure():
    check_config(TuneConfig(), ("unsure", "Good"))
    with pytest.raises(UsageError, match="rename the class"):
        check_config(TuneConfig(coverage=0.9), ("unsure", "Good"))


def test_what_the_data_cannot_support_is_refused_with_a_number():
    config = TuneConfig(good_class="Good", max_escape=0.01)
    with pytest.raises(DataError, match="takes 299 images"):
        fit_rule(config, drawn(num=100))
    with pytest.raises(DataError, match="here are 50 in all"):
        fit_rule(TuneConfig(coverage=0.99), drawn(num=100))


def test_only_images_with_a_class_count():
    logs = np.log(np.full((4, 3), 1 / 3, np.float32))
    predictions = Predictions(list("abcd"), np.array([0, -1, 2, -1]), logs, CLASSES)
    sample = Sample.of(predictions, ["g", "h", "k", "i"])
    assert sample.targets.tolist() == [0, 2]
    assert sample.groups == ("g", "k")
    assert sample.groups_of(sample.defective("Good")) == 1
    unknown = replace(predictions, targets=np.array([-1, -1, -1, 1]))
    with pytest.raises(DataError, match="1 labelled images of 1 groups"):
        Sample.of(unknown, list("abcd"))


def test_recall_targets():
    sample = drawn()
    rule = fit_rule(TuneConfig(recalls={"Scratch": 0.95}), sample)
    mine = sample.targets == 2
    assert (rule.answers(sample.log_probs)[mine] == 2).mean() >= 0.95
    assert rule.bias[:2] == (0.0, 0.0)
    assert rule.bias[2] > 0
    both = TuneConfig(
        recalls={"Scratch": 0.9}, good_class="Good", max_escape=0.2, bias=True
    )
    rule = fit_rule(both, sample)
    assert (rule.answers(sample.log_probs)[mine] == 2).mean() >= 0.9
    assert rule.bias[0] == 0  # the limit decides about good


def test_recall_targets_that_cannot_be():
    sample = drawn()
    missing = replace(sample, targets=np.minimum(sample.targets, 1))
    with pytest.raises(DataError, match="no image here is of that class"):
        fit_rule(TuneConfig(recalls={"Scratch": 0.9}), missing)
    all_of_them = dict.fromkeys(CLASSES, 0.99)
    with pytest.raises(DataError, match="cannot be had together with what else"):
        fit_rule(TuneConfig(recalls=all_of_them), sample)
    for config, message in (
        (TuneConfig(recalls={"Rost": 0.9}), "did you mean 'Rust'"),
        (TuneConfig(recalls={"Rust": 0.9}, costs=((0.0,),)), "--recall and --cost"),
        (
            TuneConfig(recalls={"Good": 0.9}, good_class="Good", max_escape=0.1),
            "--max-escape decides what passes as Good",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            check_config(config, CLASSES)
