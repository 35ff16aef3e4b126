"""Numbers of a classifier that may name several classes per image, or none.

Each class is a yes-or-no question; every number has an interval, and what the data
cannot say is None, not 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda import intervals
from uda.errors import DataError, UsageError
from uda.evaluation.estimates import (
    NOT_AVAILABLE,
    PER_CLASS,
    Bools,
    ClassMetrics,
    Estimate,
    Metrics,
    few_groups,
    is_flat,
    num_groups,
    proportion,
)
from uda.evaluation.metrics import UNKNOWN, by_exact, combined, of_groups
from uda.evaluation.predict import Predictions
from uda.evaluation.rates import Floats, Ranking, ratio
from uda.intervals import Interval

OVERALL_LABELS = ("macro_ap", "macro_f1", "micro_f1", "exact_match")
_NUM_CLASS = len(PER_CLASS)


@dataclass(frozen=True)
class LabelMetrics:
    """Everything that is known about one set of multi-label predictions.

    Attributes:
        classes: (C,) class names.
        images: images whose labels are known.
        thresholds: (C,) probabilities from which on a class is named.
        per_class: (C,) one entry per class. Recall and F1 of a class that no image
            shows are None, precision of one that is never named too; average
            precision is None without an image that shows the class.
        macro_ap: mean average precision over the classes that have one (mAP).
        macro_f1: mean F1 over the classes that some image shows.
        micro_f1: F1 of all (image, class) pairs together.
        exact_match: share of images all of whose classes are right.
        unknown: images without known labels; they are in no number above.
    """

    classes: tuple[str, ...]
    images: int
    thresholds: tuple[float, ...]
    per_class: tuple[ClassMetrics, ...]
    macro_ap: Estimate
    macro_f1: Estimate
    micro_f1: Estimate
    exact_match: Estimate
    unknown: int = 0

    def names(self) -> list[str]:
        """Return every name that `find` knows."""
        return label_metric_names(self.classes)

    def find(self, name: str) -> Estimate:
        """Return one number by name, such as ``macro_ap`` or ``recall:Rust``.

        Raises:
            UsageError: for an unknown name; the message lists the known ones.
        """
        metric, _, label = name.partition(":")
        found: Estimate
        if not label and metric in OVERALL_LABELS:
            found = getattr(self, metric)
            return found
        if metric in PER_CLASS and label in self.classes:
            found = getattr(self.per_class[self.classes.index(label)], metric)
            return found
        known = ", ".join(self.names())
        raise UsageError(f"{name!r} is not a metric here; known: {known}")

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


AnyMetrics = Metrics | LabelMetrics


def label_metric_names(classes: Sequence[str]) -> list[str]:
    """Return the names of all metrics that a multi-label evaluation has."""
    each = (f"{metric}:{name}" for name in classes for metric in PER_CLASS)
    return [*OVERALL_LABELS, *each]


def measure_labels(
    predictions: Predictions,
    *,
    groups: Sequence[object] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> LabelMetrics:
    """Derive all metrics with 95 % intervals from predictions of several labels.

    Recall, precision and exact match have Clopper-Pearson intervals; with groups of
    several images these are widened as `estimates.proportion` says, by a bootstrap of
    groups. F1, average precision and the means have that bootstrap's; where it
    collapses, or rests on few groups, as in `metrics.measure`.

    Args:
        predictions: of a model with the link "sigmoid".
        groups: (N,) group of each image; None makes each image its own.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Raises:
        DataError: when the groups do not fit the predictions.
    """
    if groups is not None and len(groups) != len(predictions.ids):
        raise DataError(f"{len(groups)} groups for {len(predictions.ids)} predictions")
    return _Measurement(predictions, groups).metrics(draws, seed)


class _Measurement:
    """The known part of some predictions, and what is derived from it."""

    def __init__(
        self, predictions: Predictions, groups: Sequence[object] | None
    ) -> None:
        known = np.flatnonzero(predictions.known)
        self.classes = predictions.classes
        self.size = len(self.classes)
        self.thresholds = predictions.thresholds or (0.5,) * self.size
        self.unknown = len(predictions.ids) - known.size
        self.true = predictions.targets[known] > 0
        self.named = predictions.predicted[known] > 0
        names = (
            np.arange(known.size)
            if groups is None
            else np.asarray([str(groups[int(i)]) for i in known])
        )
        self.groups = np.unique(names, return_inverse=True)[1]
        scores = predictions.log_probs[known]
        self.rankings = [
            Ranking(scores[:, c], self.true[:, c]) for c in range(self.size)
        ]

    def statistic(self, weights: npt.NDArray[Any]) -> Floats:
        """Return (d, 4 C + 4) values of each weighted draw: classes, then overall."""
        hits = weights @ (self.true & self.named).astype(np.float32)
        true = weights @ self.true.astype(np.float32)
        named = weights @ self.named.astype(np.float32)
        f1 = np.where(true > 0, ratio(2 * hits, true + named), np.nan)
        each = [ratio(hits, true), ratio(hits, named), f1]
        each.append(
            np.stack([rank.average_precision(weights) for rank in self.rankings], 1)
        )
        right = (self.true == self.named).all(axis=1).astype(np.float32)
        overall = [
            _mean_over_known(each[3]),
            _mean_over_known(f1),
            ratio(2 * hits.sum(1), true.sum(1) + named.sum(1)),
            ratio(weights @ right, weights.sum(1)),
        ]
        return np.concatenate([*each, np.stack(overall, axis=1)], axis=1)

    def metrics(self, draws: int, seed: int) -> LabelMetrics:
        num = len(self.true)
        if num:
            values = self.statistic(np.ones((1, num)))[0]
            bounds = intervals.bootstrap_by_group(
                self.statistic, self.groups, None, draws, seed=seed
            )
        else:
            values = np.full(_NUM_CLASS * self.size + 4, np.nan)
            bounds = (values, values)
        boxes = [Interval(float(a), float(b)) for a, b in zip(*bounds, strict=True)]
        classes = tuple(self._of_class(c, values, boxes) for c in range(self.size))
        place = _NUM_CLASS * self.size
        right = (self.true == self.named).all(axis=1)
        everything = np.ones(num, np.bool_)
        few = any(self._few(c) for c in range(self.size))
        each = {
            "f1": boxes[2 * self.size : 3 * self.size],
            "ap": boxes[3 * self.size : place],
        }
        means = {
            name: _mean(
                [getattr(c, name) for c in classes], each[name], box, num, few=few
            )
            for name, box in (("ap", boxes[place]), ("f1", boxes[place + 1]))
        }
        return LabelMetrics(
            classes=self.classes,
            images=num,
            thresholds=tuple(float(t) for t in self.thresholds),
            per_class=classes,
            macro_ap=means["ap"],
            macro_f1=means["f1"],
            micro_f1=self._micro(values[place + 2], boxes[place + 2]),
            exact_match=self._share(right, everything, boxes[-1]),
            unknown=self.unknown,
        )

    def _of_class(self, c: int, values: Floats, boxes: list[Interval]) -> ClassMetrics:
        true, named = self.true[:, c], self.named[:, c]
        num, f1, ap = int(true.sum()), 2 * self.size + c, 3 * self.size + c
        exact = _f1_of(self._share(true & named, true | named, UNKNOWN).interval)
        groups, few = num_groups(self.groups, true), self._few(c)
        return ClassMetrics(
            name=self.classes[c],
            images=num,
            groups=groups,
            predicted=int(named.sum()),
            recall=self._share(true & named, true, boxes[c]),
            precision=self._share(true & named, named, boxes[self.size + c]),
            f1=by_exact(values[f1], boxes[f1], exact, num, few=few),
            ap=by_exact(
                values[ap], boxes[ap], of_groups(values[ap], groups), num, few=few
            ),
        )

    def _few(self, c: int) -> bool:
        """Tell whether too few groups that show a class say how mistakes cluster."""
        return few_groups(self.named[:, c], self.true[:, c], self.groups)

    def _share(self, part: Bools, whole: Bools, box: Interval) -> Estimate:
        """Return how many of the images in ``whole`` are in ``part``."""
        return proportion(part, whole, self.groups, box)

    def _micro(self, value: float, box: Interval) -> Estimate:
        """Return F1 over all pairs; those of an image, and of a group, count once."""
        hits, both = self.true & self.named, self.true | self.named
        groups = num_groups(self.groups, np.asarray(both.any(axis=1)))
        share = float(hits.sum()) / max(1, int(both.sum()))
        exact = _f1_of(intervals.clopper_pearson(share * groups, groups))
        right = np.asarray((self.true == self.named).all(axis=1))
        few = few_groups(right, np.ones_like(right), self.groups)
        return by_exact(value, box, exact, len(self.true), few=few)


def _mean_over_known(values: Floats) -> Floats:
    """Return (d,) the mean over classes that have a value; NaN where none has."""
    told = ~np.isnan(values)
    return ratio(np.where(told, values, 0.0).sum(axis=1), told.sum(axis=1))


def _f1_of(share: Interval | None) -> Interval:
    """Return the interval of F1 = 2J / (1 + J) from that of J = hits / either."""
    return Interval(*(2 * j / (1 + j) for j in share or (0.0, 1.0)))


def _mean(
    estimates: list[Estimate],
    boxes: list[Interval],
    box: Interval,
    images: int,
    *,
    few: bool,
) -> Estimate:
    """Return the mean over the classes that have a value, with its interval.

    ``boxes`` are the bootstrap's of the classes, ``box`` that of their mean; ``few`` as
    in `by_exact`.
    """
    pairs = list(zip(estimates, boxes, strict=True))
    found = [e for e in estimates if e.value is not None]
    if not found:
        return NOT_AVAILABLE
    value = float(np.mean([e.value for e in found]))
    # A class that is all right or all wrong adds no spread to the bootstrap.
    flat = any(is_flat(one) for e, one in pairs if e.value is not None)
    if is_flat(box):
        box = combined(value, found)
    elif flat or few:
        box = box.hull(combined(value, found))
    return Estimate(value, box, None, images)
