"""Decision rules in words: every part of a rule is told."""

from __future__ import annotations

import math

import pytest

from uda.errors import DataError
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.decision import DecisionRule
from uda.evaluation.escape import EscapeLimit
from uda.reporting.ruletext import rule_sentences

CLASSES = ("Good", "Rust")


def words(**parts) -> str:
    stored = {"rule": DecisionRule(CLASSES, **parts).to_json(), "weights": "ema"}
    stored["fitted_on"] = {"part": "validation", "images": 30, "groups": 12}
    return " ".join(rule_sentences(stored))


def test_the_plain_rule():
    assert words() == (
        "In one line: the likeliest class. The likeliest class is taken. Fitted on "
        "the ema weights and the validation part: 30 images of 12 groups."
    )


def test_every_part_is_told():
    limit = EscapeLimit(
        "Good", math.log(0.1 / 0.9), 0.02, "confidence", 0.9, 40, 1, True
    )
    text = words(
        temperature=1.5,
        bias=(0.0, 0.7),
        escape=limit,
        lane=UnsureLane(0.95, (1.0, 2.0), (True, False), "Good"),
    )
    assert "temperature 1.50: the model was too sure" in text
    assert "Rust +0.70, Good +0.00" in text
    assert "probability of a defect is 0.1 or more" in text
    assert "with 90% confidence at most 0.02" in text
    assert "certified on groups that the model never saw (1 of 40" in text
    assert "for 95% of the parts of each class" in text
    assert "for want of groups: Rust" in text
    assert "least expected cost" in words(costs=((0.0, 1.0), (5.0, 0.0)))


@pytest.mark.parametrize("stored", [{}, {"rule": {}}, {"rule": None}])
def test_what_is_no_rule_is_refused(stored):
    with pytest.raises(DataError, match="uda tune"):
        rule_sentences(stored)


def test_a_rule_of_the_folds_says_so():
    stored = {"rule": DecisionRule(CLASSES).to_json(), "weights": "ema"}
    stored["fitted_on"] = {
        "part": "out of fold", "out_of_fold": True, "images": 30, "groups": 12,
    }  # fmt: skip
    assert rule_sentences(stored)[-1] == (
        "Fitted on what the fold trainings said of images that they did not see: "
        "30 images of 12 groups."
    )


def test_a_rule_that_was_not_fitted_says_nothing_of_it():
    """The views of a study's strategy are chosen; nothing is fitted to them."""
    stored = {"rule": DecisionRule(CLASSES, tta="flips").to_json(), "weights": "ema"}
    stored["fitted_on"] = {"strategy": "flips"}
    text = " ".join(rule_sentences(stored))
    assert "Fitted on" not in text
    assert "?" not in text
