"""Escape limit: exact ranks, ties, and the promise kept over 1,000 draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from uda.errors import DataError
from uda.evaluation.escape import (
    allowed_misses,
    average_misses,
    fit_escape,
    log_odds,
    lowered,
    lowest_by_group,
    misses_for,
    needed_groups,
    rank_threshold,
    refuse_unsupported,
    supported_escape,
)


def as_log_probs(odds):
    """Two classes, good first, with given log-odds of a defect."""
    return np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=1)


def test_the_log_odds_are_exact_where_probabilities_round_to_one():
    odds = np.array([-60.0, -1.0, 0.0, 3.0, 60.0])
    assert log_odds(as_log_probs(odds), 0) == pytest.approx(odds)
    three = np.log(np.array([[0.5, 0.3, 0.2]]))
    assert log_odds(three, 1) == pytest.approx(np.log(0.7 / 0.3))


def test_known_answers_of_the_rank():
    """k = floor((n + 1) alpha): the k-th smallest score is the threshold."""
    scores = np.arange(1.0, 100.0)  # 99 of them
    assert average_misses(99, 0.01) == 0
    assert rank_threshold(scores, average_misses(99, 0.01)) == 1
    assert rank_threshold(scores, average_misses(99, 0.05)) == 5
    assert average_misses(99, 0.29) == 28  # 100 * 0.29 is 28.999... in floats
    assert average_misses(98, 0.01) == -1  # k = 0: these data cannot support it
    assert rank_threshold(scores, -1) == -np.inf


def test_ties_are_counted_one_by_one():
    scores = np.array([2.0, 1.0, 1.0, 1.0, 3.0])
    assert rank_threshold(scores, 0) == 1
    assert rank_threshold(scores, 2) == 1  # then none lies below
    assert rank_threshold(scores, 3) == 2
    assert (scores < rank_threshold(scores, 3)).sum() == 3


@pytest.mark.parametrize(
    ("groups", "rate", "misses"),
    [(298, 0.01, -1), (299, 0.01, 0), (59, 0.05, 0), (58, 0.05, -1), (473, 0.01, 1)],
)
def test_allowed_misses_follow_the_exact_bound(groups, rate, misses):
    assert allowed_misses(groups, rate, 0.95) == misses
    if misses >= 0:
        assert binom.cdf(misses, groups, rate) <= 0.05
    assert binom.cdf(misses + 1, groups, rate) > 0.05


def test_how_many_are_needed():
    assert needed_groups(0.01, "confidence", 0.95) == 299
    assert needed_groups(0.05, "confidence", 0.95) == 59
    assert needed_groups(0.01, "average", 0.95) == 99
    for rate in (0.003, 0.01, 0.02, 0.07, 0.3):
        for guarantee in ("confidence", "average"):
            need = needed_groups(rate, guarantee, 0.9)
            assert misses_for(need, rate, guarantee, 0.9) >= 0
            assert need == 1 or misses_for(need - 1, rate, guarantee, 0.9) < 0


def test_the_refusal_says_how_many_and_what_can_be_had():
    with pytest.raises(DataError, match=r"takes 299 .* here are 41\. Label 258 more"):
        refuse_unsupported(41, 0.01, "confidence", 0.95)
    with pytest.raises(DataError, match=r"--max-escape 0\.0705.*average \(needs 99\)"):
        refuse_unsupported(41, 0.01, "confidence", 0.95)
    with pytest.raises(DataError, match="on average takes 99"):
        refuse_unsupported(0, 0.01, "average", 0.95)
    refuse_unsupported(299, 0.01, "confidence", 0.95)
    for groups in (3, 41, 250):
        for guarantee in ("confidence", "average"):
            offer = supported_escape(groups, guarantee, 0.95)
            refuse_unsupported(groups, offer, guarantee, 0.95)


def test_a_group_counts_once_by_its_worst_image():
    scores = np.array([3.0, 1.0, 5.0, 2.0])
    assert lowest_by_group(scores, ["b", "a", "b", "a"]).tolist() == [1.0, 3.0]
    assert lowest_by_group(np.zeros(0), []).size == 0


def test_a_threshold_is_lowered_to_the_middle_of_the_gap_alone():
    assert lowered(4.0, np.array([-2.0, 0.0, 6.0])) == 2.0
    assert lowered(4.0, np.array([6.0])) == 4.0
    assert lowered(-np.inf, np.array([1.0])) == -np.inf


def draws(num, seed, groups=80, of_each=2):
    """Sets of groups of images that are alike, defective and good."""
    rng = np.random.default_rng(seed)
    for _ in range(num):
        part = rng.normal(2, 1.5, groups)
        bad = np.repeat(part, of_each) + rng.normal(0, 0.5, groups * of_each)
        odds = np.concatenate([bad, rng.normal(-2, 1.5, 60)])
        defective = np.arange(odds.size) < bad.size
        names = [*np.repeat(np.arange(groups), of_each), *range(1000, 1060)]
        yield as_log_probs(odds), defective, names


def true_escape(worst, logs, defective, names, misses):
    threshold = fit_escape(logs, defective, names, good=0, misses=misses)[0]
    return np.searchsorted(worst, threshold) / worst.size


@pytest.mark.parametrize(("rate", "confidence"), [(0.1, 0.9), (0.05, 0.95)])
def test_the_promise_is_kept_in_as_many_draws_as_it_says(rate, confidence):
    """1,000 calibration sets; the true escape of a part from 200,000 others."""
    rng = np.random.default_rng(99)
    part = rng.normal(2, 1.5, 200_000)
    worst = part + rng.normal(0, 0.5, (2, part.size)).min(axis=0)
    worst.sort()
    misses = allowed_misses(80, rate, confidence)
    broken = loose = 0
    for logs, defective, names in draws(1000, 5):
        threshold, groups, _ = fit_escape(logs, defective, names, good=0, misses=misses)
        assert groups == 80
        broken += np.searchsorted(worst, threshold) / worst.size > rate
        loose += true_escape(worst, logs, defective, names, misses + 2) > rate
    # At most the stated share, and three standard errors for 1,000 draws.
    allowed = 1 - confidence
    assert broken / 1000 <= allowed + 3 * (allowed * confidence / 1000) ** 0.5
    assert loose > broken  # with two misses more it would not be kept
    assert loose / 1000 > 2 * allowed


def test_the_mean_escape_is_what_the_rank_says():
    """Without lowering: k / (n + 1) exactly, for continuous scores."""
    rng = np.random.default_rng(3)
    scores = rng.random((1000, 99))  # uniform: the threshold is its own escape
    found = [rank_threshold(row, average_misses(99, 0.05)) for row in scores]
    assert np.mean(found) == pytest.approx(0.05, abs=0.003)


def test_fitted_misses_are_counted():
    odds = np.array([0.0, 1.0, 2.0, 3.0, -3.0, 1.5])
    defective = np.array([True, True, True, True, False, False])
    threshold, groups, missed = fit_escape(
        as_log_probs(odds), defective, range(6), good=0, misses=1
    )
    assert (groups, missed) == (4, 0)  # 1.0, lowered half the way to -3
    assert threshold == pytest.approx(-1.0)
    threshold, _, missed = fit_escape(
        as_log_probs(odds), defective, range(6), good=0, misses=2
    )
    assert threshold == pytest.approx(1.75)  # a good part at 1.5 still passes
    assert missed == 2
