"""One call from answers to a rule with its gain, as plain values too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluation.test_tuning import CLASSES, drawn
from uda.evaluation.tuned import tune
from uda.evaluation.tuning import TuneConfig


def test_the_rule_and_what_it_gains():
    sample = drawn()
    tuned = tune(TuneConfig(bias=True, coverage=0.9), sample, certified=False)
    assert tuned.rule.bias
    rows = tuned.by_class
    assert [row.name for row in rows] == list(CLASSES)
    assert sum(row.images for row in rows) == 300
    assert sum(row.groups for row in rows) == 150
    alone = sample.log_probs.argmax(axis=1)
    assert rows[1].recall_before == pytest.approx(
        (alone[sample.targets == 1] == 1).mean()
    )
    assert np.average(
        [row.unsure for row in rows], weights=[row.images for row in rows]
    ) == pytest.approx(tuned.answers.unsure.mean())
    assert tuned.unsure.value == tuned.answers.unsure.mean()
    assert tuned.unsure.interval.high - tuned.unsure.interval.low > 0.05


def test_facts_are_plain():
    costs = ((0.0, 1.0, 1.0), (20.0, 0.0, 1.0), (20.0, 1.0, 0.0))
    tuned = tune(TuneConfig(costs=costs, good_class="Good"), drawn(), certified=True)
    facts = json.loads(json.dumps(tuned.facts(), allow_nan=False))
    assert facts["asked"]["costs"]["Rust"]["Good"] == 20
    assert facts["never_seen_by_the_model"] is True
    assert (facts["images"], facts["groups"]) == (300, 150)
    names = [change["name"] for change in facts["cross_fitted"]["changes"]]
    assert names[-2:] == ["mean_cost", "log_loss"]


def test_a_class_without_images_is_not_a_number():
    sample = drawn()
    some = sample.take(np.flatnonzero(sample.targets != 2))
    tuned = tune(TuneConfig(bias=True), some, certified=False)
    assert tuned.by_class[2].recall_before is None
    assert tuned.rule.bias[2] == 0
    json.dumps(tuned.facts(), allow_nan=False)
