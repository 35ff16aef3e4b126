"""What an evaluation knows: numbers with intervals, by class and overall.

Plain values; what the data cannot say is None and prints as n/a.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.errors import UsageError
from uda.evaluation.rates import Counts
from uda.intervals import Interval, clopper_pearson

Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[Any]
FEW = 5  # groups

PER_CLASS = ("recall", "precision", "f1", "ap")
OVERALL = ("balanced_accuracy", "macro_f1", "accuracy", "calibration_error")
GOOD_CLASS = ("escape", "escape_shipped", "overkill")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: None where the data cannot say (a class without images).
        interval: 95 % interval; None where it is unknown.
        part: successes of a proportion; None for other statistics.
        whole: trials of a proportion, or images that the number rests on.
    """

    value: float | None
    interval: Interval | None = None
    part: int | None = None
    whole: int | None = None

    def __str__(self) -> str:
        """Return for example ``0.900 (0.555-0.997)``, or ``n/a``."""
        if self.value is None:
            return "n/a"
        if self.interval is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.interval.low:.3f}-{self.interval.high:.3f})"


NOT_AVAILABLE = Estimate(None)


def proportion(part: Bools, whole: Bools, groups: Groups, box: Interval) -> Estimate:
    """Return a proportion with an interval that alike images make no narrower.

    That of Clopper and Pearson. Where images come in groups, it is widened to hold
    the bootstrap's over groups; and where too few groups say how mistakes cluster
    (`few_groups`), to hold that of as many images as there are groups.

    Args:
        part: (N,) the successes.
        whole: (N,) the images that count; others are not looked at.
        groups: (N,) numbers of groups.
        box: of the bootstrap over groups, NaN where it knows nothing.
    """
    hits, total = int((part & whole).sum()), int(whole.sum())
    if total == 0:
        return Estimate(None, None, hits, total)
    interval, num = clopper_pearson(hits, total), num_groups(groups, whole)
    if num < total:
        if few_groups(part, whole, groups):
            interval = interval.hull(clopper_pearson(hits / total * num, num))
        if not is_flat(box):
            interval = interval.hull(box)
    return Estimate(hits / total, interval, hits, total)


def num_groups(groups: Groups, images: Bools) -> int:
    """Return of how many groups some images are."""
    return int(np.unique(groups[images]).size)


def few_groups(part: Bools, whole: Bools, groups: Groups) -> bool:
    """Tell whether too few groups hold a success, or a failure, to trust a bootstrap.

    One mistake in two parts does not show that the photos of a part are independent.
    Where each image is a group of its own, there is nothing to show.
    """
    if num_groups(groups, whole) == int(whole.sum()):
        return False
    sides = (whole & part, whole & ~part)
    return min(num_groups(groups, side) for side in sides) < FEW


def is_flat(box: Interval) -> bool:
    """Tell whether a bootstrap found no spread, or nothing."""
    return bool(math.isnan(box.low) or box.high - box.low < 1e-9)


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fares: images and groups that truly are of it, and rates."""

    name: str
    images: int
    groups: int
    predicted: int
    recall: Estimate
    precision: Estimate
    f1: Estimate
    ap: Estimate


@dataclass(frozen=True)
class NodeMetrics:
    """How one decision of a class tree fares, on the images that truly reach it.

    Attributes:
        name: of the node.
        classes: per child, the classes below it.
        children: (k,) per child: images, recall and so on among those images.
        balanced_accuracy: mean recall over the children that have images.
    """

    name: str
    classes: tuple[tuple[str, ...], ...]
    children: tuple[ClassMetrics, ...]
    balanced_accuracy: Estimate


@dataclass(frozen=True)
class DecisionMetrics:
    """What a rule does, on the images with a known class.

    Attributes:
        words: the rule in one line.
        unsure: share of all parts that go to a person; n/a without the lane.
        unsure_by_class: (C,) the same among the parts of each class.
        wrong: share of wrong answers among those that stand.
        escape: defective parts passed as good / defective parts.
        overkill: good parts rejected / good parts.
        cost: mean cost per part, of the answers; n/a without costs.
    """

    words: str
    unsure: Estimate
    unsure_by_class: tuple[Estimate, ...]
    wrong: Estimate
    escape: Estimate
    overkill: Estimate
    cost: Estimate


@dataclass(frozen=True)
class Metrics:
    """Everything that is known about one set of predictions.

    Attributes:
        classes: (C,) class names.
        counts: (C, C) images by true class (row) and predicted class (column).
        per_class: (C,) one entry per class, also for classes without images.
        balanced_accuracy: mean recall over the classes that have images.
        macro_f1: mean F1 over the classes that have images.
        accuracy: share of right answers.
        calibration_error: mean |confidence - accuracy| over bins of equal size.
        good_class: the class of parts without a defect, or None.
        escape: share of the defective parts that were passed as good.
        escape_shipped: share of the passed parts that are defective.
        overkill: share of the good parts that were rejected.
        unknown: images without a true class; they are in no number above.
        nodes: the decisions of the model's class tree; none without one.
        decision: what the run's decision rule does; None without one.
    """

    classes: tuple[str, ...]
    counts: Counts
    per_class: tuple[ClassMetrics, ...]
    balanced_accuracy: Estimate
    macro_f1: Estimate
    accuracy: Estimate
    calibration_error: Estimate
    good_class: str | None = None
    escape: Estimate = NOT_AVAILABLE
    escape_shipped: Estimate = NOT_AVAILABLE
    overkill: Estimate = NOT_AVAILABLE
    unknown: int = 0
    nodes: tuple[NodeMetrics, ...] = ()
    decision: DecisionMetrics | None = None

    def names(self) -> list[str]:
        """Return every name that `find` knows."""
        return metric_names(self.classes, self.good_class)

    def find(self, name: str) -> Estimate:
        """Return one number by name, such as ``macro_f1`` or ``recall:Rust``.

        Raises:
            UsageError: for an unknown name; the message lists the known ones.
        """
        metric, _, label = name.partition(":")
        if not label and metric in OVERALL + GOOD_CLASS:
            if metric in GOOD_CLASS and self.good_class is None:
                raise UsageError(f"{name}: name the good class with --good-class")
            return _estimate(self, metric)
        if metric in PER_CLASS and label in self.classes:
            return _estimate(self.per_class[self.classes.index(label)], metric)
        known = ", ".join(self.names())
        raise UsageError(f"{name!r} is not a metric here; known: {known}")

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        plain = asdict(self)
        plain["counts"] = self.counts.tolist()
        plain["classes"] = list(self.classes)
        return plain


def metric_names(classes: Sequence[str], good_class: str | None) -> list[str]:
    """Return the names of all metrics that such an evaluation has."""
    overall = OVERALL + (GOOD_CLASS if good_class is not None else ())
    return [*overall, *(f"{metric}:{name}" for name in classes for metric in PER_CLASS)]


def _estimate(holder: Metrics | ClassMetrics, name: str) -> Estimate:
    found: Estimate = getattr(holder, name)
    return found
