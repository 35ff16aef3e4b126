"""DecisionRule: the order of its parts, and JSON there and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decision import DecisionRule
from uda.evaluation.escape import EscapeLimit

CLASSES = ("Good", "Rust", "Scratch")
LOGS = np.log(
    np.array(
        [
            [0.80, 0.15, 0.05],
            [0.45, 0.40, 0.15],
            [0.10, 0.60, 0.30],
            [0.34, 0.33, 0.33],
        ]
    )
)


def limit(threshold, **changes):
    facts = {
        "good_class": "Good",
        "threshold": threshold,
        "max_escape": 0.05,
        "guarantee": "confidence",
        "confidence": 0.95,
        "groups": 80,
        "missed": 0,
        "certified": True,
    }
    return EscapeLimit(**{**facts, **changes})


def test_a_plain_rule_takes_the_likeliest_class():
    rule = DecisionRule(CLASSES)
    assert rule.answers(LOGS).tolist() == [0, 0, 1, 0]
    assert not rule.unsure(LOGS).any()
    assert rule.words() == "the likeliest class"
    assert np.exp(rule.log_probs(LOGS)) == pytest.approx(np.exp(LOGS))


def test_temperature_changes_probabilities_and_no_answer():
    rule = DecisionRule(CLASSES, temperature=2.0)
    wanted = np.exp(LOGS / 2) / np.exp(LOGS / 2).sum(axis=1, keepdims=True)
    assert np.exp(rule.log_probs(LOGS)) == pytest.approx(wanted)
    assert (rule.answers(LOGS) == DecisionRule(CLASSES).answers(LOGS)).all()


def test_bias_is_added_to_calibrated_logarithms():
    # log(.45 / .40) = 0.118; half of it at temperature 2.
    assert DecisionRule(CLASSES, 2.0, (0.0, 0.07, 0.0)).answers(LOGS)[1] == 1
    assert DecisionRule(CLASSES, 1.0, (0.0, 0.07, 0.0)).answers(LOGS)[1] == 0


def test_costs_take_the_cheapest_answer():
    costs = ((0.0, 1.0, 1.0), (10.0, 0.0, 1.0), (10.0, 1.0, 0.0))
    rule = DecisionRule(CLASSES, costs=costs)
    # Passing the first costs 10 * 0.2 = 2, calling it Rust 0.8 + 0.05.
    assert rule.answers(LOGS).tolist() == [1, 1, 1, 1]


def test_the_escape_limit_alone_decides_what_is_good():
    odds = math.log(0.5 / 0.5)
    rule = DecisionRule(CLASSES, bias=(9.0, 0.0, 0.5), escape=limit(odds))
    # .80 passes whatever the bias; the others are rejected as their likeliest defect.
    assert rule.answers(LOGS).tolist() == [0, 1, 1, 2]
    lenient = DecisionRule(CLASSES, escape=limit(math.log(0.9 / 0.1) + 1e-9))
    assert lenient.answers(LOGS).tolist() == [0, 0, 0, 0]
    never = DecisionRule(CLASSES, escape=limit(-math.inf))
    assert 0 not in never.answers(LOGS)


def test_temperature_does_not_move_what_is_guaranteed():
    lane = UnsureLane(0.9, (-math.log(0.4),) * 3, (True,) * 3)
    for temperature in (0.5, 1.0, 4.0):
        rule = DecisionRule(CLASSES, temperature, escape=limit(0.3), lane=lane)
        assert (rule.answers(LOGS) == 0).tolist() == [True, True, False, False]
        assert rule.unsure(LOGS).tolist() == [False, True, False, True]


def test_the_lane_by_good_class():
    lane = UnsureLane(0.9, (-math.log(0.3),) * 3, (True,) * 3, "Good")
    rule = DecisionRule(CLASSES, lane=lane)
    # The third may be Rust or Scratch: rejected either way.
    assert rule.unsure(LOGS).tolist() == [False, True, False, True]


def test_what_it_does_in_words():
    lane = UnsureLane(0.95, (1.0,) * 3, (True,) * 3)
    rule = DecisionRule(CLASSES, 1.5, (0.1, 0.0, 0.0), (), limit(0.0), lane)
    assert rule.words() == (
        "temperature 1.50, bias per class, escape at most 0.05 (certified), unsure "
        "lane at coverage 0.95"
    )


finite = st.floats(-1e6, 1e6)
share = st.floats(0.001, 0.999)


@st.composite
def rules(draw):
    size = draw(st.integers(2, 5))
    names = draw(
        st.lists(st.text(min_size=1), min_size=size, max_size=size, unique=True)
    )
    rows = st.lists(finite, min_size=size, max_size=size).map(tuple)
    flags = st.lists(st.booleans(), min_size=size, max_size=size).map(tuple)
    good = draw(st.sampled_from(names))
    escape = st.builds(
        EscapeLimit,
        good_class=st.just(good),
        threshold=finite,
        max_escape=share,
        guarantee=st.sampled_from(["confidence", "average"]),
        confidence=share,
        groups=st.integers(0, 10**6),
        missed=st.integers(0, 10**6),
        certified=st.booleans(),
    )
    lane = st.builds(UnsureLane, share, rows, flags, st.sampled_from([None, good]))
    return DecisionRule(
        tuple(names),
        draw(st.floats(0.1, 10)),
        draw(st.one_of(st.just(()), rows)),
        draw(st.one_of(st.just(()), st.tuples(*[rows] * size))),
        draw(st.one_of(st.none(), escape)),
        draw(st.one_of(st.none(), lane)),
        draw(st.sampled_from(["none", "flips", "mine.yaml:8@0123456789ab"])),
    )


@given(rules())
def test_json_there_and_back(rule):
    text = json.dumps(rule.to_json(), allow_nan=False)
    assert DecisionRule.from_json(json.loads(text)) == rule


@given(rules(), st.integers(0, 2**32 - 1))
def test_answers_are_classes_and_survive_json(rule, seed):
    logs = np.random.default_rng(seed).normal(0, 4, (6, len(rule.classes)))
    answers = rule.answers(logs)
    assert ((answers >= 0) & (answers < len(rule.classes))).all()
    again = DecisionRule.from_json(json.loads(json.dumps(rule.to_json())))
    assert (again.answers(logs) == answers).all()
    assert (again.unsure(logs) == rule.unsure(logs)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"tta": None},
        {"bias": {"Good": 1.0}},
        {"costs": {"Good": {"Good": 0}}},
        {"escape": {"good_class": "Gut"}},
        {"unsure": {"good_class": None, "coverage": 0.9, "classes": {}}},
    ],
)
def test_a_damaged_rule_is_refused(change):
    plain = DecisionRule(CLASSES).to_json()
    with pytest.raises((KeyError, TypeError, ValueError)):
        DecisionRule.from_json({**plain, **change})


def test_the_views_are_told_only_where_there_are_several():
    plain = DecisionRule(CLASSES)
    assert "tta" not in plain.to_json()  # as in files of before there was any
    assert DecisionRule.from_json(plain.to_json()).tta == "none"
    assert plain.words() == "the likeliest class"
    flips = DecisionRule(CLASSES, tta="flips")
    assert flips.to_json()["tta"] == "flips"
    assert flips.words() == "the likeliest class, under TTA flips"
    warm = DecisionRule(CLASSES, 1.5, tta="d4")
    assert warm.words() == "temperature 1.50, under TTA d4"
