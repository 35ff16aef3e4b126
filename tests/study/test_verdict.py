"""The words of a verdict say what the intervals say."""

from __future__ import annotations

import pytest

from uda.intervals import Interval
from uda.study.findings import MAIN, Findings, Gap, Row
from uda.study.verdict import between, choose, lines, points, standing


def gap(value, low, high, *, joint=None, trainings=True):
    images = Interval(low, high)
    return Gap(
        value, images, images if trainings else None,
        Interval(*joint) if joint else images,
    )  # fmt: skip


def row(name, value, found=None, *, best=0.2, failed=0):
    gaps = {} if found is None else {MAIN: found}
    errors = ("TrainingError: NaN",) if failed else ()
    return Row(name, {MAIN: value}, gaps, best, 10 - failed, failed, errors, 3.0)


def findings(*rows, optimism=0.013):
    return Findings(rows, rows[0].name, (MAIN,), ("Rust", 11, 9), 10, optimism)


PLAIN = row("supervised", 0.64)
GAIN = row("UDA", 0.701, gap(0.061, 0.02, 0.103), best=0.62)
LOSS = row("focal", 0.55, gap(-0.09, -0.12, -0.03))
UNCLEAR = row("weights", 0.65, gap(0.01, -0.03, 0.05))
LUCK = row("flips", 0.67, gap(0.03, 0.002, 0.06, joint=(-0.01, 0.07)))


def test_a_gain_a_loss_and_what_cannot_be_told():
    found = lines(findings(PLAIN, LOSS, UNCLEAR, LUCK, GAIN))
    assert found[0] == "Everything is compared to supervised (balanced accuracy 64.0)."
    assert found[1] == (
        "UDA gains 6.1 points of balanced accuracy over supervised, interval 2.0 to "
        "10.3."
    )
    assert found[2] == (
        "focal loses 9.0 points of balanced accuracy against supervised, interval "
        "−12.0 to −3.0."
    )
    assert found[3] == (
        "A hint, but no more than luck could give among 4 comparisons: flips (+3.0, "
        "0.2 to 6.0)."
    )
    assert found[4] == (
        "No difference that these images, 11 of them Rust (9 groups), can show: "
        "weights (+1.0, −3.0 to 5.0)."
    )


def test_the_winner_s_curse_is_told():
    last = lines(findings(PLAIN, GAIN))[-1]
    assert "Highest here: UDA (70.1)" in last
    assert "the best on 62% of other draws of images" in last
    assert "by about 1.3 points: expect 68.8." in last


def test_one_fold_shows_nothing():
    alone = row("UDA", 0.9, gap(0.3, 0.2, 0.4, trainings=False))
    assert standing(alone.gaps[MAIN]) == "unclear"
    assert (
        "One fold alone shows nothing: UDA (+30.0" in lines(findings(PLAIN, alone))[1]
    )


def test_what_failed_and_what_is_not_finished_is_told():
    broken = row("broken", 0.5, gap(0, -0.1, 0.1), failed=2)
    text = "\n".join(lines(findings(PLAIN, broken)))
    assert "broken: 2 of 10 cells failed" in text
    assert "NaN" in text
    half = Row("half", {MAIN: 0.5}, {}, None, 4, 0, (), 3.0)
    assert "14 of 20 cells are finished" in lines(findings(PLAIN, half))[0]


def test_the_best_of_the_proven_is_chosen():
    better = row("ABC", 0.72, gap(0.08, 0.01, 0.13))
    assert choose(findings(PLAIN, GAIN, better, LUCK)).name == "ABC"
    assert "6.1 points" in choose(findings(PLAIN, GAIN)).why


def test_without_a_proven_gain_the_simplest_is_chosen():
    texture = row("texture", 0.6, gap(-0.04, -0.09, 0.01))
    first = findings(PLAIN, LUCK, UNCLEAR)
    assert choose(first).name == "supervised"
    listed = Findings(
        (LOSS, texture, PLAIN, LUCK), "supervised", (), ("R", 1, 1), 10, 0
    )
    assert choose(listed).name == "texture"
    assert "simplest" in choose(listed).why


@pytest.mark.parametrize(
    ("value", "text"), [(0.061, "6.1"), (-0.0004, "0.0"), (-0.5, "−50.0"), (1, "100.0")]
)
def test_points(value, text):
    assert points(value) == text


def test_an_interval_in_points():
    assert between(gap(0, -0.021, 0.1)) == "−2.1 to 10.0"
