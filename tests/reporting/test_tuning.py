"""What uda tune says, in words: gains, promises, and what is not promised."""

from __future__ import annotations

import pytest

from tests.evaluation.test_tuning import drawn
from uda.evaluation.gain import TtaGain
from uda.evaluation.paired import Difference
from uda.evaluation.tuned import tune
from uda.evaluation.tuning import TuneConfig
from uda.intervals import Interval
from uda.reporting.tuning import change_lines, class_lines, promise_lines, tta_lines

EVERYTHING = TuneConfig(bias=True, good_class="Good", max_escape=0.1, coverage=0.97)


@pytest.fixture(scope="module")
def tuned():
    return tune(EVERYTHING, drawn(), certified=False)


def test_the_table_of_changes(tuned):
    lines = change_lines(tuned)
    assert lines[0].split()[:4] == ["model", "alone", "with", "a"]
    assert lines[1].startswith("macro-F1")
    assert "escape: defective parts passed" in "\n".join(lines)
    assert "overkill: good parts rejected" in "\n".join(lines)
    assert lines[-1].startswith("Cross-fitted over 5 folds of groups")


def test_the_table_of_classes(tuned):
    lines = class_lines(tuned)
    assert lines[0].split()[-2:] == ["bias", "unsure"]
    assert lines[1].split()[0] == "Good"
    assert "+0.00" in lines[1]
    plain = class_lines(tune(TuneConfig(), drawn(), certified=False))
    assert plain[0].endswith("recall with a rule")


def test_what_is_promised_and_what_not(tuned):
    text = "\n".join(promise_lines(tuned))
    assert "with 95% confidence at most 0.1 of the defective parts would pass" in text
    assert "NOT certified: these are validation images" in text
    assert "uda tune RUN DATA" in text
    few = next(row for row in tuned.by_class if row.name == "Scratch")
    assert f"Scratch alone: {few.groups} groups, which could prove" in text
    assert f"No such promise for Scratch ({few.groups}): a class needs 33" in text
    assert "Unsure lane: expect" in text


def test_certified():
    config = TuneConfig(good_class="Good", max_escape=0.1, guarantee="average")
    text = "\n".join(promise_lines(tune(config, drawn(), certified=True)))
    assert "Certified, as the model never saw" in text
    assert "on average over such fits at most 0.1 of the defective parts pass" in text
    assert "NOT" not in text


def test_a_gain_that_is_not_shown_is_not_sold():
    sample = drawn(num=40, sharp=1.0)
    text = "\n".join(promise_lines(tune(TuneConfig(bias=True), sample, certified=True)))
    assert "Bias: no gain is shown in macro-F1" in text
    assert "fewer than 10 groups" in text


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (-0.01, 0.05, "show no gain: without --tta the rule is simpler."),
        (0.01, 0.05, "and is better on these images."),
        (-0.05, -0.01, "worse on these images."),
    ],
)
def test_what_views_gain_and_cost(low, high, told):
    found = Difference(0.83, 0.81, Interval(low, high))
    gain = TtaGain("flips", 4, {"balanced_accuracy": found, "macro_f1": found})
    lines = tta_lines(gain)
    assert lines[0] == (
        f"TTA flips: balanced accuracy 0.810 -> 0.830 "
        f"(+0.020, {low:+.3f} to {high:+.3f})"
    )
    assert lines[1].startswith("TTA flips: macro-F1 0.810 -> 0.830")
    assert lines[2].startswith("It takes 4 forward passes per image")
    assert lines[2].endswith(told)
