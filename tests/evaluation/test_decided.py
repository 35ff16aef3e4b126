"""What a rule does: unsure parts are neither passed nor rejected."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decided import measure_decision
from uda.evaluation.decision import DecisionRule
from uda.evaluation.estimates import NOT_AVAILABLE
from uda.evaluation.predict import Predictions
from uda.intervals import clopper_pearson

CLASSES = ("Good", "Rust")
LANE = UnsureLane(0.9, (-math.log(0.2),) * 2, (True, True), "Good")


def answers(probs_good, targets, rule):
    good = np.array(probs_good)
    logs = np.log(np.stack([good, 1 - good], axis=1)).astype(np.float32)
    ids = [str(row) for row in range(len(good))]
    return Predictions(ids, np.array(targets), logs, CLASSES, rule=rule)


def test_without_a_rule_there_is_nothing():
    assert measure_decision(answers([0.9], [0], None)) is None


def test_known_answers():
    # Sets: {Good}, both, both, {Rust}, {Rust}, {Good}, unknown truth.
    found = measure_decision(
        answers(
            [0.9, 0.7, 0.4, 0.1, 0.1, 0.9, 0.5],
            [0, 0, 1, 1, 0, 1, -1],
            DecisionRule(CLASSES, lane=LANE),
        ),
        good_class="Good",
    )
    assert (found.unsure.part, found.unsure.whole) == (2, 6)
    assert found.unsure.interval == clopper_pearson(2, 6)
    assert [(e.part, e.whole) for e in found.unsure_by_class] == [(1, 3), (1, 3)]
    assert (found.wrong.part, found.wrong.whole) == (2, 4)
    assert (found.escape.part, found.escape.whole) == (1, 3)
    assert (found.overkill.part, found.overkill.whole) == (1, 3)
    assert found.cost == NOT_AVAILABLE


def test_without_the_lane_nothing_is_unsure():
    costs = ((0.0, 1.0), (10.0, 0.0))
    found = measure_decision(
        answers([0.95, 0.7, 0.95], [0, 0, 1], DecisionRule(CLASSES, costs=costs)),
        good_class="Good",
    )
    assert found.unsure == found.wrong == found.escape == NOT_AVAILABLE
    # Passed, rejected at 1, passed at 10.
    assert found.cost.value == pytest.approx(11 / 3)
    assert found.cost.interval.low <= 11 / 3 <= found.cost.interval.high


def test_groups_widen_the_intervals():
    rule = DecisionRule(CLASSES, lane=LANE)
    predictions = answers([0.9] * 6 + [0.5] * 6, [0] * 12, rule)
    alone = measure_decision(predictions).unsure.interval
    grouped = measure_decision(predictions, groups=["a"] * 6 + ["b"] * 6)
    assert grouped.unsure.interval.low < alone.low
    assert grouped.unsure.interval.high > alone.high


def test_decisions_without_a_mistake_still_have_intervals():
    """As many others as the groups could hide: here the dearest mistake costs 10."""
    costs = ((0.0, 1.0), (10.0, 0.0))
    rule = DecisionRule(CLASSES, lane=LANE, costs=costs)
    groups = ["a", "a", "b", "b"]
    found = measure_decision(
        answers([0.95, 0.95, 0.05, 0.05], [0, 0, 1, 1], rule),
        good_class="Good",
        groups=groups,
    )
    hidden = clopper_pearson(0, 2).high
    assert found.wrong.interval == found.unsure.interval == clopper_pearson(0, 2)
    assert found.escape.interval == clopper_pearson(0, 1)
    assert found.cost.value == 0
    assert found.cost.interval == pytest.approx((0.0, 10 * hidden))
