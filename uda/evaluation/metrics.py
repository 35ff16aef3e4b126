"""Numbers of a classifier, all derived from its confusion matrix and ranking.

Every number comes with an interval; what the data cannot say is None, not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from uda import intervals
from uda.errors import DataError, UsageError
from uda.evaluation.estimates import (
    GOOD_CLASS,
    NOT_AVAILABLE,
    OVERALL,
    Bools,
    ClassMetrics,
    Estimate,
    Metrics,
    few_groups,
    is_flat,
    num_groups,
    proportion,
)
from uda.evaluation.predict import Predictions
from uda.evaluation.rates import (
    Floats,
    Ranking,
    calibration_error,
    confusion_matrix,
    good_counts,
    rates,
    ratio,
    weighted_matrices,
)
from uda.intervals import Interval

UNKNOWN = Interval(np.nan, np.nan)

__all__ = ["ClassMetrics", "Estimate", "Metrics", "confusion_matrix", "measure"]


def measure(
    predictions: Predictions,
    *,
    good_class: str | None = None,
    groups: Sequence[object] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Metrics:
    """Derive all metrics with 95 % intervals from predictions.

    Proportions have Clopper-Pearson intervals. F1, average precision and the
    means have bootstrap intervals that resample groups within true classes;
    where that collapses (a class all right or all wrong) Clopper-Pearson stands
    in, combined over the classes for a mean. With groups of several images the
    interval of a proportion is widened to hold the bootstrap's, as alike images
    count for less than their number; and where few groups hold a mistake, to hold that
    of as many images as there are groups.

    Args:
        predictions: images with target -1 are counted as unknown only.
        good_class: class of parts without defect, for escape and overkill.
        groups: (N,) group of each image; None makes each image its own.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        UsageError: when the good class is not one of the classes.
        DataError: when groups do not fit the predictions.
    """
    if good_class is not None and good_class not in predictions.classes:
        raise UsageError(
            f"good class {good_class!r} is not one of: {', '.join(predictions.classes)}"
        )
    if groups is not None and len(groups) != len(predictions.ids):
        raise DataError(f"{len(groups)} groups for {len(predictions.ids)} predictions")
    return _Measurement(predictions, good_class, groups).metrics(draws, seed)


class _Measurement:
    """The known part of some predictions, and what is derived from it."""

    def __init__(
        self,
        predictions: Predictions,
        good_class: str | None,
        groups: Sequence[object] | None,
    ) -> None:
        known = np.flatnonzero(predictions.targets >= 0)
        self.classes = predictions.classes
        self.good_class = good_class
        self.unknown = len(predictions.ids) - known.size
        self.targets = predictions.targets[known]
        self.predicted = predictions.predicted[known]
        self.likeliest = predictions.likeliest[known]
        self.confidence = predictions.confidence[known]
        names = np.arange(known.size) if groups is None else _names(groups, known)
        self.groups = np.unique(names, return_inverse=True)[1]
        self.size = len(self.classes)
        self.counts = confusion_matrix(self.targets, self.predicted, self.size)
        log_probs = predictions.log_probs[known]
        self.rankings = [
            Ranking(log_probs[:, c], self.targets == c) for c in range(self.size)
        ]

    def statistic(self, weights: npt.NDArray[Any]) -> Floats:
        """Return (d, S) all bootstrapped values of each weighted draw."""
        counts = weighted_matrices(self.targets, self.predicted, weights, self.size)
        derived = rates(counts)
        ranked = [ranking.average_precision(weights) for ranking in self.rankings]
        blocks = [derived[name] for name in ("recall", "precision", "f1")]
        blocks += [np.stack(ranked, axis=1), self._good_rates(counts)]
        blocks += [derived[name][:, None] for name in OVERALL[:3]]
        return np.concatenate(blocks, axis=1)

    def _good_rates(self, counts: npt.NDArray[Any]) -> Floats:
        """Return (d, 3) escape, escape_shipped, overkill; NaN where unnamed."""
        if self.good_class is None:
            return np.full((counts.shape[0], 3), np.nan)
        parts = good_counts(counts, self.classes.index(self.good_class))
        return np.stack([ratio(part, whole) for part, whole in parts], axis=1)

    def metrics(self, draws: int, seed: int) -> Metrics:
        if self.targets.size:
            values = self.statistic(np.ones((1, self.targets.size)))[0]
            bounds = intervals.bootstrap_by_group(
                self.statistic, self.groups, self.targets, draws, seed=seed
            )
        else:
            values = np.full(4 * self.size + 6, np.nan)
            bounds = (values, values)
        boxes = [Interval(float(a), float(b)) for a, b in zip(*bounds, strict=True)]
        per_class, rest = 4 * self.size, 4 * self.size + 3
        classes = tuple(self._of_class(c, values, boxes) for c in range(self.size))
        good = self._good(boxes[per_class:rest])
        right, all_of_them = self.predicted == self.targets, self.targets >= 0
        # Confidence is about the likeliest class, which a rule may overrule.
        error = calibration_error(self.confidence, self.likeliest == self.targets)
        return Metrics(
            classes=self.classes,
            counts=self.counts,
            per_class=classes,
            balanced_accuracy=self._mean([c.recall for c in classes], boxes, rest),
            macro_f1=self._mean([c.f1 for c in classes], boxes, rest + 1),
            accuracy=self._share(right, all_of_them, boxes[rest + 2]),
            calibration_error=Estimate(error, whole=int(right.size)),
            good_class=self.good_class,
            escape=good[0],
            escape_shipped=good[1],
            overkill=good[2],
            unknown=self.unknown,
        )

    def _of_class(self, c: int, values: Floats, boxes: list[Interval]) -> ClassMetrics:
        true, named = self.targets == c, self.predicted == c
        size, num = self.size, int(true.sum())
        # F1 = 2J / (1 + J) with J = hits / (images of the class or called so).
        share = self._share(true & named, true | named, UNKNOWN).interval
        f1_exact = Interval(*(2 * j / (1 + j) for j in share or (0.0, 1.0)))
        groups, few = num_groups(self.groups, true), self._few(c)
        f1, ap = values[2 * size + c], values[3 * size + c]
        return ClassMetrics(
            name=self.classes[c],
            images=num,
            groups=groups,
            predicted=int(named.sum()),
            recall=self._share(true & named, true, boxes[c]),
            precision=self._share(true & named, named, boxes[size + c]),
            f1=by_exact(f1, boxes[2 * size + c], f1_exact, num, few=few),
            ap=by_exact(ap, boxes[3 * size + c], of_groups(ap, groups), num, few=few),
        )

    def _few(self, c: int) -> bool:
        """Tell whether too few groups of a class say how mistakes cluster."""
        return few_groups(self.predicted == c, self.targets == c, self.groups)

    def _share(self, part: Bools, whole: Bools, box: Interval) -> Estimate:
        """Return how many of the images in ``whole`` are in ``part``."""
        return proportion(part, whole, self.groups, box)

    def _mean(
        self, estimates: list[Estimate], boxes: list[Interval], place: int
    ) -> Estimate:
        """Return the mean over classes with images, with an honest interval."""
        found = [e for e in estimates if e.value is not None]
        if not found:
            return NOT_AVAILABLE
        value = float(np.mean([e.value for e in found]))
        # A class that is all right or all wrong adds no spread to the bootstrap.
        flat = any(
            is_flat(boxes[c]) or self._few(c)
            for c in range(self.size)
            if self.counts[c].any()
        )
        box = boxes[place].hull(combined(value, found)) if flat else boxes[place]
        return Estimate(value, box, None, int(self.counts.sum()))

    def _good(self, boxes: list[Interval]) -> list[Estimate]:
        if self.good_class is None:
            return [NOT_AVAILABLE] * len(GOOD_CLASS)
        good = self.classes.index(self.good_class)
        passed, fine = self.predicted == good, self.targets == good
        shares = ((passed & ~fine, ~fine), (passed & ~fine, passed), (~passed, fine))
        return [
            self._share(part & whole, whole, box)
            for (part, whole), box in zip(shares, boxes, strict=True)
        ]


def _names(groups: Sequence[object], known: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    return np.asarray([str(groups[int(i)]) for i in known])


def by_exact(
    value: float, box: Interval, exact: Interval, whole: int, *, few: bool
) -> Estimate:
    """Return a number with the bootstrap's interval, or with the exact one.

    The exact one stands in where the bootstrap found no spread, and widens it where
    ``few`` groups say how mistakes cluster.
    """
    if np.isnan(value):
        return Estimate(None, None, None, whole)
    if is_flat(box):
        box = exact.hull(Interval(float(value), float(value)))
    return Estimate(float(value), box.hull(exact) if few else box, None, whole)


def of_groups(value: float, groups: int) -> Interval:
    """Return the interval of a share of as many images as there are groups."""
    return intervals.clopper_pearson(0.0 if np.isnan(value) else value * groups, groups)


def combined(mean: float, estimates: Sequence[Estimate]) -> Interval:
    """Return the interval of a mean of independent estimates from theirs.

    The distances to the bounds add up as squares (Zou and Donner 2008, "MOVER").
    """
    down, up = 0.0, 0.0
    for estimate in estimates:
        if estimate.value is not None and estimate.interval is not None:
            down += (estimate.value - estimate.interval.low) ** 2
            up += (estimate.interval.high - estimate.value) ** 2
    size = len(estimates)
    return Interval(max(0.0, mean - down**0.5 / size), min(1.0, mean + up**0.5 / size))
