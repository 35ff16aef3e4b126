"""Rates against scikit-learn and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from uda.evaluation.rates import (
    Ranking,
    calibration_error,
    confusion_matrix,
    good_counts,
    rates,
)

LABELS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60
)


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_rates_equal_scikit_learn(pairs):
    true, answer = np.array(pairs).T
    counts = confusion_matrix(true, answer, 4)
    assert np.array_equal(
        counts, reference.confusion_matrix(true, answer, labels=range(4))
    )
    found = rates(counts)
    nan = {"labels": range(4), "average": None, "zero_division": np.nan}
    assert found["recall"] == pytest.approx(
        reference.recall_score(true, answer, **nan), nan_ok=True
    )
    assert found["precision"] == pytest.approx(
        reference.precision_score(true, answer, **nan), nan_ok=True
    )
    present = np.unique(true)
    f1 = reference.f1_score(
        true, answer, labels=present, average=None, zero_division=np.nan
    )
    assert found["f1"][present] == pytest.approx(f1)
    assert found["macro_f1"] == pytest.approx(f1.mean())
    recall = reference.recall_score(
        true, answer, labels=present, average="macro", zero_division=np.nan
    )
    assert found["balanced_accuracy"] == pytest.approx(recall)
    assert found["accuracy"] == pytest.approx((true == answer).mean())


def test_unknown_targets_are_left_out():
    assert confusion_matrix([-1, 0, -1], [0, 1, 1], 2).tolist() == [[0, 1], [0, 0]]
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_what_cannot_be_said_is_nan_and_not_zero():
    found = rates(np.array([[3, 0, 1], [0, 0, 0], [2, 0, 0]]))
    assert np.isnan(found["recall"][1])  # no images
    assert np.isnan(found["precision"][1])  # never predicted
    assert np.isnan(found["f1"][1])
    assert found["f1"][2] == 0  # images, all wrong: a real 0
    assert np.isnan(rates(np.zeros((2, 2)))["balanced_accuracy"])


def test_rates_of_many_matrices_at_once():
    stack = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    together = rates(stack)
    for i, counts in enumerate(stack):
        alone = rates(counts)
        assert all(np.array_equal(together[k][i], alone[k]) for k in alone)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_average_precision_equals_scikit_learn_with_ties_and_weights(rows, seed):
    scores = np.array([score for score, _ in rows], dtype=float)
    positive = np.array([hit for _, hit in rows])
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(rows)))
    found = Ranking(scores, positive).average_precision(weights.astype(np.float32))
    for value, weight in zip(found, weights, strict=True):
        if weight[positive].sum() == 0:
            assert np.isnan(value)
            continue
        expected = reference.average_precision_score(
            np.repeat(positive, weight), np.repeat(scores, weight)
        )
        assert value == pytest.approx(expected, abs=1e-5)


def test_good_counts_by_hand():
    #            good scratch rust
    counts = np.array([[90, 6, 4], [3, 20, 2], [1, 0, 9]])
    escape, shipped, overkill = good_counts(counts, 0)
    assert (int(escape[0]), int(escape[1])) == (4, 35)
    assert (int(shipped[0]), int(shipped[1])) == (4, 94)
    assert (int(overkill[0]), int(overkill[1])) == (10, 100)


def test_calibration_error_equals_a_loop():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 200)
    right = rng.uniform(size=200) < confidence**2
    order = np.argsort(confidence)
    total = 0.0
    for part in np.array_split(order, 15):
        gap = abs(confidence[part].mean() - right[part].mean())
        total += gap * len(part) / 200
    assert calibration_error(confidence, right) == pytest.approx(total)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) is None
    assert calibration_error(np.ones(3), np.ones(3, bool)) == 0
