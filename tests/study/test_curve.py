"""The learning curve: exact on a power law, modest where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest

from tests.study.fakes import FakeStudy, right
from uda.data.splits import Split
from uda.study.curve import curve_of, twice


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_twice_the_labels_on_a_power_law(power):
    shares = np.array([0.25, 0.5, 1.0])
    errors = 0.4 * shares**-power
    wanted = 0.4 - 0.4 * 2.0**-power
    found = twice(shares, 1 - np.stack([errors, errors]))
    np.testing.assert_allclose(found, [wanted, wanted], atol=1e-12)


def test_the_fit_is_that_of_numpy():
    shares = np.array([0.1, 0.5, 0.7, 1.0])
    scores = np.array([[0.3, 0.55, 0.5, 0.62]])
    slope, at_one = np.polyfit(np.log(shares), np.log(1 - scores[0]), 1)
    wanted = np.exp(at_one) * (1 - 2**slope)
    assert twice(shares, scores)[0] == pytest.approx(wanted)


def curve(tmp_path, *shares):
    study = FakeStudy(tmp_path / "out", images=(24, 18, 15))
    for share, guess in shares:
        study.add(f"s {share}", guess, seed=int(100 * share), share=share)
    return curve_of(study.answers(), study.plan)


def test_the_fit_is_on_the_labels_that_were_left(tmp_path):
    """Of 10 training groups a quarter is 4: each class keeps whole groups."""
    study = FakeStudy(tmp_path / "out")
    study.add("all", right(0.9), seed=1)
    study.add("some", right(0.4), seed=2, share=0.25)
    found = curve_of(study.answers(), study.plan)
    low, high = found.points["balanced_accuracy"]
    paths = list((study.folder / "splits").glob("*-share0.25.csv"))
    left = [len(Split.load(path).part("labeled")) for path in paths]
    assert low.labels == np.mean(left) > 0.25 * 30
    assert high.labels == 30
    slope = np.log((1 - high.value) / (1 - low.value)) / np.log(30 / low.labels)
    wanted = (1 - high.value) * (1 - 2**slope)
    assert found.outlooks["balanced_accuracy"].gain == pytest.approx(wanted)
    assert f"25% of the labels ({low.labels:.0f} images)" in found.lines()[0]


def test_shares_of_the_same_labels_tell_nothing(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("all", right(0.9), seed=1)
    study.add("nearly all", right(0.8), seed=2, share=0.99)
    found = curve_of(study.answers(), study.plan)
    assert found.outlooks == {}
    assert "All shares came to the same labels" in found.lines()[1]
    assert found.facts()["balanced_accuracy"]["outlook"] is None


def test_a_rising_curve_is_worth_going_on(tmp_path):
    found = curve(tmp_path, (1.0, right(0.9)), (0.5, right(0.6)), (0.25, right(0.2)))
    assert [p.share for p in found.points["balanced_accuracy"]] == [0.25, 0.5, 1.0]
    assert found.outlooks["balanced_accuracy"].told
    text = "\n".join(found.lines())
    assert "Twice the labels would be worth" in text
    assert "Recall of Scratch: 25% of the labels (" in text


def test_a_flat_curve_tells_nothing(tmp_path):
    found = curve(tmp_path, (1.0, right(0.6)), (0.5, right(0.6)))
    assert not found.outlooks["balanced_accuracy"].told
    assert "cannot be told" in found.lines()[1]


def all_right_but(label):
    """Answer rightly, but about one class."""
    return lambda targets, random: np.where(targets == label, 0, targets)


@pytest.mark.parametrize("groups", [2, 4, 5])
def test_groups_that_turn_all_alike_tell_nothing(tmp_path, groups):
    """Twice the labels looked worth points without doubt, by two groups' luck."""
    study = FakeStudy(tmp_path / "out", images=(60, 60, 3 * groups))
    study.add("few labels", all_right_but(2), share=0.25)
    study.add("all labels", right(1.0))
    found = curve_of(study.answers(), study.plan)
    for outlook in found.outlooks.values():
        assert outlook.gain > 0
        assert outlook.interval.high - outlook.interval.low < 1e-12
        assert not outlook.told
    text = "\n".join(found.lines())
    assert "Twice the" not in text
    assert "100.0 (unknown, as no draw differs)" in text
    assert (f"cannot be told: Scratch has too few groups, {groups}." in text) == (
        groups < 5
    )


def test_the_mean_over_classes_is_no_surer_than_the_rarest_one(tmp_path):
    """Others vary, so the interval is not flat; what is outside it is two groups'."""
    study = FakeStudy(tmp_path / "out", images=(60, 60, 6))

    def guess(targets, random):
        return np.where(targets == 2, 0, right(0.9)(targets, random))

    def better(targets, random):
        return np.where(targets == 2, 2, right(0.9)(targets, random))

    study.add("few labels", guess, seed=1, share=0.25)
    study.add("all labels", better, seed=2)
    outlook = curve_of(study.answers(), study.plan).outlooks["balanced_accuracy"]
    assert 0 < outlook.interval.low < outlook.interval.high
    assert not outlook.told


def test_before_all_shares_are_there(tmp_path):
    study = FakeStudy(tmp_path / "out")
    every = [(r, f) for r in (0, 1) for f in range(3)]
    study.add("a", right(1.0))
    study.add("b", right(1.0), lacking=every)
    assert curve_of(study.answers(), study.plan).points == {}
