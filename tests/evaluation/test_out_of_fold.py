"""Pooled answers keep their place and are counted once for each image."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import balanced_accuracy_score, recall_score

from uda.errors import DataError
from uda.evaluation.estimates import Estimate
from uda.evaluation.out_of_fold import HeldOut, OutOfFold, fold_scores, over_repeats
from uda.evaluation.predict import Predictions
from uda.intervals import Interval

CLASSES = ("Good", "Rust")


def answers(targets, predicted, first=0, **options):
    """Answers of 0.8 for what is predicted."""
    logs = np.log(np.where(np.eye(2)[predicted] > 0, 0.8, 0.2)).astype(np.float32)
    ids = [f"{first + n}.png" for n in range(len(targets))]
    return Predictions(ids, np.array(targets, np.int64), logs, CLASSES, **options)


def pooled(*parts):
    """Parts of (targets, predicted, repeat, fold, first image)."""
    return OutOfFold.pooled(
        [
            HeldOut(
                answers(targets, predicted, first),
                tuple(f"\0{first + n}.png" for n in range(len(targets))),
                repeat,
                fold,
                "texture" if fold == 1 else "network",
            )
            for targets, predicted, repeat, fold, first in parts
        ]
    )


@pytest.fixture
def found():
    return pooled(
        ([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 0, 0, 0),
        ([0, 0, 1], [0, 0, 1], 0, 1, 5),
        ([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], 1, 0, 0),
        ([0, 0, 1], [0, 0, 0], 1, 1, 5),
    )


def test_a_file_gives_everything_back_and_is_predictions_too(found, tmp_path):
    path = tmp_path / "o.npz"
    found.save(path)
    again = OutOfFold.load(path)
    assert again.groups == found.groups
    assert again.kinds == found.kinds
    assert again.folds.tolist() == [*[0] * 5, *[1] * 3] * 2
    assert again.repeats.tolist() == [0] * 8 + [1] * 8
    plain = Predictions.load(path)
    assert plain.ids == found.predictions.ids
    np.testing.assert_array_equal(plain.log_probs, found.predictions.log_probs)
    assert again.images == 8
    named = OutOfFold(
        found.predictions, ("lot1",) * 8 + found.groups[8:], found.repeats,
        found.folds, found.kinds,
    )  # fmt: skip
    named.save(path)
    assert OutOfFold.load(path).groups == named.groups


def test_a_file_of_another_sort_is_no_such_answers(tmp_path):
    answers([0, 1], [0, 1]).save(tmp_path / "p.npz")
    with pytest.raises(DataError, match="--folds"):
        OutOfFold.load(tmp_path / "p.npz")
    (tmp_path / "p.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="cannot be read"):
        OutOfFold.load(tmp_path / "p.npz")


def test_the_table_says_who_answered_what(found, tmp_path):
    found.write_table(tmp_path / "o.csv")
    with (tmp_path / "o.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    third = rows[2]
    assert (third["path"], third["label"], third["predicted"]) == (
        "2.png", "Good", "Rust",
    )  # fmt: skip
    assert (third["group"], third["repeat"], third["fold"]) == ("", "0", "0")
    assert third["handed_over"] == "network"
    assert float(third["prob:Rust"]) == pytest.approx(0.8, abs=1e-5)


def test_of_one_kind_alone(found):
    network = found.of_kind("network")
    assert set(network.kinds) == {"network"}
    assert network.predictions.ids == [f"{n}.png" for n in range(5)] * 2


def test_scores_against_scikit_learn_and_a_hand_made_interval(found):
    scores = fold_scores(found)
    true, told = found.predictions.targets, found.predictions.predicted
    by_repeat = [
        recall_score(true[rows], told[rows], average=None)
        for rows in (slice(0, 8), slice(8, 16))
    ]
    recall = scores.overall("recall:Good")
    assert recall.value == pytest.approx(np.mean(by_repeat, axis=0)[0])
    # Five Good images, 4 and 5 right: the mean of two exact intervals, not of ten.
    low = np.mean([beta.ppf(0.025, 4, 2), beta.ppf(0.025, 5, 1)])
    assert recall.interval.low == pytest.approx(low)
    assert recall.interval.high == pytest.approx((beta.ppf(0.975, 5, 1) + 1) / 2)
    pieces = [slice(0, 5), slice(5, 8), slice(8, 13), slice(13, 16)]
    expected = [balanced_accuracy_score(true[p], told[p]) for p in pieces]
    assert [v for line in scores.by_fold for v in line] == pytest.approx(expected)
    mean, spread, number = scores.fold_mean
    assert (mean, spread) == pytest.approx(
        (np.mean(expected), np.std(expected, ddof=1))
    )
    assert number == 4


def test_what_one_repeat_cannot_say():
    boxed = Estimate(0.5, Interval(0.2, 0.8), whole=4)
    assert over_repeats([Estimate(None), boxed]) == boxed
    assert over_repeats([Estimate(None)]) == Estimate(None)


def test_thresholds_of_several_labels_are_the_folds_mean():
    logs = np.log(np.full((2, 2), 0.5, np.float32))
    parts = [
        HeldOut(
            Predictions(
                [f"{n}a", f"{n}b"], np.array([[0, 1], [1, 1]]), logs, CLASSES,
                link="sigmoid", thresholds=limits,
            ),
            ("x", "y"), 0, n, "network",
        )
        for n, limits in enumerate([(0.2, 0.5), (0.4, 0.5)])
    ]  # fmt: skip
    joined = OutOfFold.pooled(parts)
    assert joined.predictions.thresholds == pytest.approx((0.3, 0.5))
    assert fold_scores(joined).score == "macro_ap"
