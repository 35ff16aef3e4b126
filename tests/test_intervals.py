"""Intervals against published values, scipy and hand computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uda import intervals
from uda.intervals import (
    Interval,
    bootstrap_by_group,
    clopper_pearson,
    corrected_t,
    exchange_by_group,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (10, 10, 0.692, 1.0),
        (9, 10, 0.555, 0.997),
        (18, 20, 0.683, 0.988),
        (20, 20, 0.832, 1.0),
        (27, 30, 0.735, 0.979),
        (45, 50, 0.782, 0.967),
        (50, 50, 0.929, 1.0),
        (90, 100, 0.824, 0.951),
        (0, 0, 0.0, 1.0),
    ],
)
def test_clopper_pearson_known_answers(k, n, low, high):
    found = clopper_pearson(k, n)
    assert found.low == pytest.approx(low, abs=5e-4)
    assert found.high == pytest.approx(high, abs=5e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_clopper_pearson_equals_scipy(n, data, confidence):
    k = data.draw(st.integers(0, n))
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    found = clopper_pearson(k, n, confidence)
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


@pytest.mark.parametrize(("k", "n", "c"), [(-1, 3, 0.9), (4, 3, 0.9), (1, 3, 1.0)])
def test_clopper_pearson_refuses(k, n, c):
    with pytest.raises(ValueError, match="must be"):
        clopper_pearson(k, n, c)


def test_hull():
    assert Interval(0.2, 0.5).hull(Interval(0.3, 0.9)) == (0.2, 0.9)


def literal_bootstrap(values, groups, strata, draws, rng):
    """Resample groups one by one, as a reader would write it."""
    means = []
    of_stratum: dict[object, list[object]] = {}
    for group in sorted(set(groups)):
        members = [s for g, s in zip(groups, strata, strict=True) if g == group]
        stratum = max(sorted(set(members)), key=members.count)
        of_stratum.setdefault(stratum, []).append(group)
    for _ in range(draws):
        drawn = []
        for names in of_stratum.values():
            for pick in rng.integers(0, len(names), len(names)):
                drawn += [
                    v
                    for v, g in zip(values, groups, strict=True)
                    if g == names[int(pick)]
                ]
        means.append(np.mean(drawn))
    return np.quantile(means, (0.025, 0.975))


def test_bootstrap_agrees_with_literal_resampling():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(24), 3)
    strata = groups % 2
    values = (groups * 7 % 11) / 10 + rng.normal(size=72) * 0.05 + strata

    def mean(weights):
        return (weights @ values) / weights.sum(axis=1)

    low, high = bootstrap_by_group(mean, groups, strata, 4000, seed=1)
    expected = literal_bootstrap(values, list(groups), list(strata), 4000, rng)
    assert [low, high] == pytest.approx(expected, abs=0.02)
    # Alike images count once: treating them as independent looks too sure.
    naive = bootstrap_by_group(mean, np.arange(72), strata, 4000, seed=1)
    assert naive[1] - naive[0] < 0.75 * (high - low)


def test_bootstrap_is_close_to_scipy_without_groups():
    values = np.random.default_rng(3).exponential(size=150)
    low, high = bootstrap_by_group(
        lambda w: (w @ values) / w.sum(axis=1), np.arange(150), draws=5000
    )
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=0
    ).confidence_interval
    assert [low, high] == pytest.approx([expected.low, expected.high], abs=0.03)


def test_bootstrap_draws_whole_groups_within_strata():
    groups = ["a", "a", "b", "b", "b", "c", "d"]
    strata = [0, 0, 0, 1, 0, 1, 1]  # b is mostly of stratum 0
    seen = []

    def keep(weights):
        seen.append(weights)
        return weights[:, :1]

    bootstrap_by_group(keep, groups, strata, 50)
    weights = np.concatenate(seen)
    assert weights.shape == (50, 7)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 5] + weights[:, 6] == 2).all()


def test_bootstrap_is_repeatable_and_sliced_alike(monkeypatch):
    values = np.arange(40.0)

    def statistic(weights):
        return np.stack([weights @ values, weights @ values**2], axis=1)

    whole = bootstrap_by_group(statistic, np.arange(40), draws=300, seed=5)
    monkeypatch.setattr(intervals, "_SLICE_VALUES", 70)
    sliced = bootstrap_by_group(statistic, np.arange(40), draws=300, seed=5)
    other = bootstrap_by_group(statistic, np.arange(40), draws=300, seed=6)
    assert np.array_equal(whole, sliced)
    assert not np.array_equal(whole, other)
    assert whole[0].shape == (2,)


def test_bootstrap_leaves_out_draws_without_value():
    def sometimes(weights):
        first = weights[:, 0].astype(float)
        return np.stack([np.where(first > 0, 1.0, np.nan), first * np.nan], axis=1)

    low, high = bootstrap_by_group(sometimes, np.arange(5), draws=100)
    assert (low[0], high[0]) == (1.0, 1.0)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_corrected_t_by_hand():
    # J = 4, mean 2.5, variance 5/3; error = sqrt((1/4 + 1/4) * 5/3).
    found = corrected_t([1, 2, 3, 4], test_train_ratio=0.25)
    error = math.sqrt(0.5 * 5 / 3)
    assert found.standard_error == pytest.approx(error)
    assert found.t == pytest.approx(2.5 / error)
    assert found.degrees == 3
    reach = 3.182446305284263 * error  # t(0.975, 3) from a table
    assert found.interval == pytest.approx((2.5 - reach, 2.5 + reach))
    assert found.p_value == pytest.approx(2 * stats.t.sf(2.5 / error, 3))


def test_corrected_t_without_correction_is_the_paired_t():
    first = np.random.default_rng(1).normal(size=12)
    second = np.random.default_rng(2).normal(0.3, 1, size=12)
    expected = stats.ttest_rel(first, second)
    found = corrected_t(first - second, test_train_ratio=0)
    assert (found.t, found.p_value) == pytest.approx(
        (expected.statistic, expected.pvalue)
    )
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_five_folds_widen_the_naive_error_by_the_published_factor():
    # k = 5 folds, 5 repeats: 1/25 becomes 0.04 + 0.25, so 2.7 times the error.
    differences = np.random.default_rng(0).normal(size=25)
    ratio = corrected_t(differences, 0.25).standard_error
    assert ratio / corrected_t(differences, 0).standard_error == pytest.approx(
        2.7, abs=0.01
    )


@pytest.mark.parametrize(
    ("values", "t", "p"), [([0, 0, 0], 0, 1), ([1, 1], math.inf, 0)]
)
def test_corrected_t_without_spread(values, t, p):
    found = corrected_t(values, 0.25)
    assert (found.t, found.p_value) == (t, p)


def test_corrected_t_refuses():
    with pytest.raises(ValueError, match="two differences"):
        corrected_t([1.0], 0.2)
    with pytest.raises(ValueError, match="negative"):
        corrected_t([1.0, 2.0], -0.2)


def test_no_miss_in_n_proves_what_the_rule_of_three_says_about():
    # One-sided at 95 %: (1 - p)^n = 0.05; the two-sided interval at 90 % ends there.
    for n, bound in ((10, 0.259), (30, 0.095), (60, 0.049), (100, 0.0295), (300, 0.01)):
        found = clopper_pearson(0, n, 0.90)
        assert found.high == pytest.approx(1 - 0.05 ** (1 / n))
        assert found.high == pytest.approx(bound, abs=5e-4)
        assert clopper_pearson(n, n, 0.90).low == pytest.approx(1 - found.high)


def test_corrected_t_equals_the_formula_over_folds_and_repeats():
    """Bouckaert and Frank 2004: k folds, r repeats, each repeat a test of 1/k."""
    folds, repeats = 10, 3
    d = np.random.default_rng(4).normal(0.01, 0.03, folds * repeats)
    found = corrected_t(d, (1 / folds) / (1 - 1 / folds))
    scale = 1 / (folds * repeats) + 1 / (folds - 1)
    t = d.mean() / math.sqrt(scale * stats.tvar(d))
    assert found.t == pytest.approx(t)
    assert found.p_value == pytest.approx(2 * stats.t(folds * repeats - 1).sf(abs(t)))


def test_draws_of_groups_do_not_depend_on_the_slices(monkeypatch):
    strata = np.array([0, 1, 0, 1, 1, 0, 0])
    whole = intervals._draw_groups(strata, 50, 3)
    monkeypatch.setattr(intervals, "_SLICE_VALUES", 9)
    assert np.array_equal(whole, intervals._draw_groups(strata, 50, 3))
    assert (whole[:, strata == 1].sum(1) == 3).all()


@pytest.mark.parametrize("seed", range(6))
def test_exchanged_groups_agree_with_the_permutation_test_of_scipy(seed):
    """The value is out of reach where that test's p is 0.05 at most, and only there."""
    random = np.random.default_rng(seed)
    gaps = random.integers(-2, 6, 9).astype(float)  # by group, first minus second
    groups = np.repeat(np.arange(9), 2)
    each = gaps[groups] / 2

    def difference(moved):
        return (each * (1 - 2 * moved)).sum(axis=1)

    reach = exchange_by_group(difference, groups, each != 0)
    peer = stats.permutation_test(
        (gaps, np.zeros(9)),
        lambda a, b: (a - b).sum(),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert (gaps.sum() > reach + 1e-9) == (peer.pvalue <= 0.05)


def test_exchanges_are_drawn_where_there_are_too_many():
    each = np.ones(40)

    def difference(moved):
        assert set(np.unique(moved)) <= {0.0, 1.0}
        return np.stack([(each * (1 - 2 * moved)).sum(axis=1)], axis=1)

    (reach,) = exchange_by_group(difference, np.arange(40), each > 0, draws=3000)
    assert reach == pytest.approx(1.96 * 40**0.5, abs=2)  # a sum of 40 signs
    (again,) = exchange_by_group(difference, np.arange(40), each > 0, draws=3000)
    assert reach == again


def test_nothing_to_exchange_is_no_reach():
    found = exchange_by_group(lambda m: m.sum(axis=1), np.arange(4), np.zeros(4, bool))
    assert found == 0.0


def test_exchange_leaves_out_draws_without_value():
    def difference(moved):
        return np.where(moved[:, 0] > 0, np.nan, 3.0)

    found = exchange_by_group(difference, np.arange(4), np.ones(4, bool))
    assert found == 3.0
