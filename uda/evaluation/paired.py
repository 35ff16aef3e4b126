"""Two classifiers on the same images: how far apart, and how sure is that.

For pooled out-of-fold answers of several repeats; whole groups are drawn, and one
draw holds for both, so that what is hard for both does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.evaluation.estimates import is_flat
from uda.evaluation.rates import Floats, good_counts, rates, ratio, weighted_matrices
from uda.intervals import Interval, bootstrap_by_group, exchange_by_group

Ints = npt.NDArray[np.int64]
MEASURES = ("macro_f1", "balanced_accuracy", "rarest_recall")
GOOD_MEASURES = ("escape", "overkill")


@dataclass(frozen=True)
class Asked:
    """The images that were asked for, each once per repeat.

    Attributes:
        targets: (N,) true classes.
        groups: (N,) group of each image; a group keeps its name over repeats.
        repeats: (N,) number of the repeat (its seed).
        rarest: by repeat, the class that it had the fewest labels of.
        num_classes: C.
        good: class of parts without a defect, where there is one.
    """

    targets: Ints
    groups: npt.NDArray[Any]
    repeats: Ints
    rarest: Mapping[int, int]
    num_classes: int
    good: int | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        """Return what is measured, in the order of `values`."""
        return MEASURES if self.good is None else (*MEASURES, *GOOD_MEASURES)


@dataclass(frozen=True)
class Difference:
    """One measure of two classifiers, and the interval of first minus second."""

    first: float
    second: float
    interval: Interval

    @property
    def value(self) -> float:
        """Return first minus second."""
        return self.first - self.second


def values(asked: Asked, predicted: Ints, weights: npt.NDArray[Any]) -> Floats:
    """Return (d, M) ``asked.measures`` of (N,) answers under (d, N) weights.

    Each is computed from the confusion matrix of all folds of a repeat, then
    averaged over the repeats. NaN where no weighted image can tell.
    """
    return _values(asked, [(predicted, weights)])


def _values(asked: Asked, answers: Sequence[tuple[Ints, npt.NDArray[Any]]]) -> Floats:
    """Return (d, M) measures of a mix of answers, each with its own (d, N) weights."""
    found = []
    for repeat in np.unique(asked.repeats).tolist():
        mine = np.flatnonzero(asked.repeats == repeat)
        counts = sum(
            weighted_matrices(
                asked.targets[mine], given[mine], weights[:, mine], asked.num_classes
            )
            for given, weights in answers
        )
        found.append(_measured(np.asarray(counts), asked.rarest[repeat], asked.good))
    return np.asarray(np.mean(found, axis=0))


def _measured(counts: Floats, rarest: int, good: int | None) -> Floats:
    """Return (d, M) measures of (d, C, C) confusion matrices."""
    rate = rates(counts)
    columns = [*(rate[name] for name in MEASURES[:2]), rate["recall"][:, rarest]]
    if good is not None:
        escape, _, overkill = good_counts(counts, good)
        columns += [ratio(*escape), ratio(*overkill)]
    return np.stack(columns, axis=1)


def compare(
    asked: Asked, first: Ints, second: Ints, *, draws: int = 2000, seed: int = 0
) -> dict[str, Difference]:
    """Compare two classifiers' (N,) answers to the same images.

    The intervals are percentiles over draws of groups within true classes, and hold 0
    where chance alone explains the difference (`exchange_by_group`): where one group
    makes it, drawing that again shows no spread. They tell how other images would have
    changed the difference, given these labels and these trained networks; how much
    other labels or seeds change it is seen from the repeats alone.

    Returns:
        For each of ``asked.measures`` both values, and the 95 % interval of first -
        second.
    """

    def measured(own: npt.NDArray[Any], other: npt.NDArray[Any]) -> Floats:
        return _values(asked, [(first, own), (second, other)])

    one, two, intervals = paired_intervals(
        measured, asked.groups, asked.targets, first != second, draws=draws, seed=seed
    )
    return {
        name: Difference(float(one[place]), float(two[place]), intervals[place])
        for place, name in enumerate(asked.measures)
    }


def paired_intervals(
    measured: Callable[[npt.NDArray[Any], npt.NDArray[Any]], Floats],
    groups: npt.NDArray[Any],
    targets: Ints,
    differs: npt.NDArray[np.bool_],
    *,
    unbounded: Collection[int] = (),
    draws: int = 2000,
    seed: int = 0,
) -> tuple[Floats, Floats, list[Interval]]:
    """Return M measures of two sides, and the 95 % intervals of first minus second.

    Args:
        measured: (d, N) weights of the first side's answers and of the second's ->
            (d, M) measures of that mix.
        groups: (N,) group of each image.
        targets: (N,) true classes, within which groups are drawn.
        differs: (N,) where the two sides' answers are not the same.
        unbounded: places of measures whose differences may exceed 1.
        draws: of groups, and of their sides.
        seed: of both.
    """
    every, none = np.ones((1, targets.size)), np.zeros((1, targets.size))
    first, second = measured(every, none)[0], measured(none, every)[0]

    def drawn(weights: npt.NDArray[Any]) -> Floats:
        return measured(weights, 0 * weights) - measured(0 * weights, weights)

    def exchanged(moved: npt.NDArray[Any]) -> Floats:
        return measured(1 - moved, moved) - measured(moved, 1 - moved)

    low, high = bootstrap_by_group(drawn, groups, targets, draws, seed=seed)
    reach = exchange_by_group(exchanged, groups, differs, draws, seed=seed)
    intervals = [
        widened(
            Interval(float(low[place]), float(high[place])),
            float(first[place] - second[place]),
            float(reach[place]),
            None if place in unbounded else 1.0,
        )
        for place in range(first.size)
    ]
    return first, second, intervals


def widened(
    box: Interval, value: float, reach: float, most: float | None = 1.0
) -> Interval:
    """Return an interval that leaves out 0 only where a randomization test does, too.

    Args:
        box: of draws of groups.
        value: of the difference.
        reach: how far it strays by chance (`exchange_by_group`), which stands in where
            the draws show no spread: where one group makes the difference.
        most: no difference can be farther from 0, for shares 1; None for others.
    """
    if math.isnan(value):
        return box
    if is_flat(box):
        low, high = value - reach, value + reach
        if most is not None:
            low, high = max(low, -most), min(high, most)
        box = box.hull(Interval(low, high))
    # Rounding must not make a difference where the reach is the value itself.
    return box.hull(Interval(0.0, 0.0)) if abs(value) <= reach + 1e-12 else box
