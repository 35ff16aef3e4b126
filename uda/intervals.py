"""Intervals for small samples: Clopper-Pearson, bootstrap by group, corrected t.

Each says how far a number could be off; none assumes a large sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from uda import rng

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]
# Weights of one slice of draws; keeps the bootstrap in cache and in memory.
_SLICE_VALUES = 2_000_000


class Interval(NamedTuple):
    """A lower and an upper bound, both inside the interval."""

    low: float
    high: float

    def hull(self, other: Interval) -> Interval:
        """Return the smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))


def clopper_pearson(k: float, n: int, confidence: float = 0.95) -> Interval:
    """Return the exact two-sided interval of a proportion.

    Source: Clopper and Pearson 1934, through quantiles of the beta
    distribution. Never too narrow, also for 0 or n successes.

    Args:
        k: successes; a fraction lies between its whole neighbours.
        n: trials; with none, nothing is known and the answer is (0, 1).
        confidence: coverage, between 0 and 1.

    Raises:
        ValueError: when k is not in 0..n or confidence not in (0, 1).
    """
    if not 0 <= k <= n:
        raise ValueError(f"successes must be in 0..{n}, not {k}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(low, high)


def bootstrap_by_group(
    statistic: Callable[[Weights], npt.NDArray[Any]],
    groups: Sequence[object] | npt.NDArray[Any],
    strata: Sequence[object] | npt.NDArray[Any] | None = None,
    draws: int = 2000,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[Floats, Floats]:
    """Return percentile intervals of statistics, resampling whole groups.

    Images of one part are alike, so groups are drawn, not images. Groups are
    drawn inside strata (usually the true classes), so that a rare class has
    as many groups in each draw as in the data. A group with images of several
    strata belongs to the one that most of its images have.

    Args:
        statistic: weights (d, N) -> values (d, ...): row i counts how often
            each image is in draw i. NaN marks a draw without a value.
        groups: (N,) group of each image.
        strata: (N,) stratum of each image; None draws from all groups.
        draws: number of bootstrap draws.
        seed: same seed, same interval.
        confidence: coverage of the interval.

    Returns:
        Lower and upper bounds, each shaped like one draw's values; NaN where
        no draw had a value. One group in a stratum adds no spread: the caller
        must not read a width of 0 as certainty.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    counts = _draw_groups(_stratum_of_groups(group_of, strata), draws, seed)
    return _percentiles(_in_slices(statistic, counts, group_of), confidence)


def exchange_by_group(
    difference: Callable[[Weights], npt.NDArray[Any]],
    groups: Sequence[object] | npt.NDArray[Any],
    differs: npt.NDArray[np.bool_],
    draws: int = 2000,
    *,
    seed: int = 0,
    confidence: float = 0.95,
) -> Floats:
    """Return how far the difference of two paired answers strays by chance alone.

    Were both answers equally good, the answers of a group could as well have changed
    sides. Every way of changing sides is tried where few groups differ, else as many
    as ``draws`` (randomization test: Fisher 1935; Noreen 1989). A bootstrap over groups
    knows no spread where one group makes the difference; this one says that a single
    group can always be luck, and that five on one side still can.

    Args:
        difference: (d, N) of 0 and 1 -> (d, ...): first minus second where the images
            with 1 have changed sides. NaN marks a draw without a value.
        groups: (N,) group of each image.
        differs: (N,) where the two answers are not the same.
        draws: of sides, at most.
        seed: same seed, same answer.
        confidence: share of the draws that stray no farther.

    Returns:
        The distance, shaped like one draw's values; NaN where no draw had a value.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sides = _draw_sides(np.unique(group_of[differs]), group_of, draws, seed)
    strays = np.abs(_in_slices(difference, sides, group_of))
    flat = strays.reshape(strays.shape[0], -1)
    reach = np.full(flat.shape[1], np.nan)
    for column in range(flat.shape[1]):
        known = flat[:, column][~np.isnan(flat[:, column])]
        if known.size:
            reach[column] = np.quantile(known, confidence, method="higher")
    return reach.reshape(strays.shape[1:])


def _in_slices(
    statistic: Callable[[Weights], npt.NDArray[Any]],
    of_groups: npt.NDArray[Any],
    group_of: npt.NDArray[np.intp],
) -> Floats:
    """Return (draws, ...) values of (draws, G) numbers of the groups."""
    size = max(1, _SLICE_VALUES // max(1, group_of.size))
    values = [
        np.asarray(
            statistic(of_groups[start : start + size].astype(np.float32)[:, group_of]),
            dtype=np.float64,
        )
        for start in range(0, len(of_groups), size)
    ]
    return np.concatenate(values)


def _draw_sides(
    moving: npt.NDArray[np.intp], group_of: npt.NDArray[np.intp], draws: int, seed: int
) -> npt.NDArray[np.uint8]:
    """Return (d, G) of 0 and 1: which of the moving groups change sides."""
    num_groups = int(group_of.max(initial=-1)) + 1
    if moving.size < 62 and 2**moving.size <= draws:
        every = np.arange(2**moving.size)[:, None] >> np.arange(moving.size)[None] & 1
    else:
        random = rng.generator(seed, "exchange", 0)
        every = random.integers(0, 2, size=(draws, moving.size), dtype=np.uint8)
    sides = np.zeros((len(every), num_groups), np.uint8)
    sides[:, moving] = every
    return sides


def _stratum_of_groups(
    group_of: npt.NDArray[np.intp], strata: Sequence[object] | npt.NDArray[Any] | None
) -> npt.NDArray[np.intp]:
    num_groups = int(group_of.max(initial=-1)) + 1
    if strata is None:
        return np.zeros(num_groups, dtype=np.intp)
    names, stratum_of = np.unique(np.asarray(strata), return_inverse=True)
    votes = np.zeros((num_groups, names.size), dtype=np.int64)
    np.add.at(votes, (group_of, stratum_of), 1)
    return np.asarray(votes.argmax(axis=1))


def _draw_groups(
    stratum_of: npt.NDArray[np.intp], draws: int, seed: int
) -> npt.NDArray[np.uint16]:
    """Return (draws, G): how often each group is in each draw."""
    counts = np.zeros((draws, stratum_of.size), dtype=np.uint16)
    for stratum in np.unique(stratum_of):
        members = np.flatnonzero(stratum_of == stratum)
        num = members.size
        random = rng.generator(seed, "bootstrap", int(stratum))
        some = max(1, _SLICE_VALUES // num)
        for first in range(0, draws, some):  # the same numbers as all at once
            rows = min(some, draws - first)
            picks = random.integers(0, num, size=(rows, num))
            picks += np.arange(rows)[:, None] * num
            tally = np.bincount(picks.reshape(-1), minlength=rows * num)
            counts[first : first + rows, members] = tally.reshape(rows, num)
    return counts


def _percentiles(values: Floats, confidence: float) -> tuple[Floats, Floats]:
    tail = (1 - confidence) / 2
    flat = values.reshape(values.shape[0], -1)
    bounds = np.full((2, flat.shape[1]), np.nan)
    for column in range(flat.shape[1]):
        known = flat[:, column][~np.isnan(flat[:, column])]
        if known.size:
            bounds[:, column] = np.quantile(known, (tail, 1 - tail))
    low, high = bounds.reshape(2, *values.shape[1:])
    return low, high


@dataclass(frozen=True)
class PairedTest:
    """Outcome of a corrected resampled t-test on paired differences."""

    mean: float
    standard_error: float
    t: float
    degrees: int
    p_value: float
    interval: Interval


def corrected_t(
    differences: Sequence[float] | Floats,
    test_train_ratio: float,
    confidence: float = 0.95,
) -> PairedTest:
    """Test whether the mean of paired differences over resamplings is zero.

    Trainings on overlapping parts are not independent, so the variance of the
    mean is var(d) * (1/J + n_test/n_train) for J differences, instead of
    var(d)/J. Source: Nadeau and Bengio 2003; Bouckaert and Frank 2004.

    Args:
        differences: (J,) score of one method minus the other, per resampling.
        test_train_ratio: n_test / n_train; 0 gives the ordinary paired t-test.
        confidence: coverage of the interval around the mean.

    Raises:
        ValueError: for fewer than two differences or a negative ratio.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"two differences or more are needed, not {values.size}")
    if test_train_ratio < 0:
        raise ValueError(f"test_train_ratio must not be negative: {test_train_ratio}")
    from scipy.special import stdtr, stdtrit

    degrees = values.size - 1
    mean = float(values.mean())
    variance = float(values.var(ddof=1))
    error = math.sqrt((1 / values.size + test_train_ratio) * variance)
    # Equal differences leave no spread to measure the mean against.
    flat = math.copysign(math.inf, mean) if mean else 0.0
    t = mean / error if error > 0 else flat
    reach = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    p_value = 2 * float(stdtr(degrees, -abs(t)))
    return PairedTest(
        mean, error, t, degrees, p_value, Interval(mean - reach, mean + reach)
    )
