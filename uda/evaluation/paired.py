"""Two classifiers on the same images: how far apart, and how sure is that.

For pooled out-of-fold answers of several repeats; whole groups are drawn, and one
draw holds for both, so that what is hard for both does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.evaluation.rates import Floats, good_counts, rates, ratio
from uda.intervals import Interval, bootstrap_by_group

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
    size = asked.num_classes
    found = []
    for repeat in np.unique(asked.repeats).tolist():
        mine = np.flatnonzero(asked.repeats == repeat)
        cells = asked.targets[mine] * size + predicted[mine]
        chosen = np.zeros((mine.size, size * size))
        chosen[np.arange(mine.size), cells] = 1.0
        counts = weights[:, mine].astype(np.float64) @ chosen
        counts = counts.reshape(-1, size, size)
        found.append(_measured(counts, asked.rarest[repeat], asked.good))
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

    The intervals are percentiles over draws of groups within true classes. They
    tell how other images would have changed the difference, given these labels and
    these trained networks; how much other labels or seeds change it is seen from
    the repeats alone.

    Returns:
        For each of ``asked.measures`` both values, and the 95 % interval of first -
        second.
    """
    one = np.ones((1, asked.targets.size))
    own = [values(asked, answers, one)[0] for answers in (first, second)]

    def difference(weights: npt.NDArray[Any]) -> Floats:
        return values(asked, first, weights) - values(asked, second, weights)

    low, high = bootstrap_by_group(
        difference, asked.groups, asked.targets, draws, seed=seed
    )
    return {
        name: Difference(
            float(own[0][place]),
            float(own[1][place]),
            Interval(float(low[place]), float(high[place])),
        )
        for place, name in enumerate(asked.measures)
    }
