"""What a number of images can support: claims, folds, thresholds. No files, no pixels.

Known answers: 10 right of 10 prove a recall of .692; 299 parts without an escape
prove an escape rate of at most 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from uda.intervals import clopper_pearson

# Below this many images of the rarest class a threshold of its own is noise
# (simulated: raw per-class biases tuned on 3 or 6 images of the rarest gain nothing).
MIN_FOR_THRESHOLDS = 10
MAX_FOLDS = 5
# Two independent units are the least with which a fold has something to train on.
_MIN_FOLDS = 2
TEST_SHARE = 0.3


@dataclass(frozen=True)
class ClassSupport:
    """What the images of one class can carry.

    Attributes:
        name: the class.
        images: labelled images.
        groups: independent units (parts, photos) among them; exposures or crops of
            one part are one unit.
        test_units: units of the data's own test part; without one, what a test part
            of 30 % would hold, at least one of two.
        best_recall_low: lower bound of recall if every unit were found right.
        best_recall_low_test: the same with the units of the test part alone.
        conformal: smallest error rate alpha for which a class-wise conformal set
            can be formed, 1 / (units + 1).
        train_groups: units to learn from: all, without those of validation and test
            parts that the data itself has.
        verdict: "too low", "low" or "enough", for the reason in ``reason``.
        reason: in words.
    """

    name: str
    images: int
    groups: int
    test_units: int
    best_recall_low: float
    best_recall_low_test: float
    conformal: float
    train_groups: int
    verdict: str
    reason: str


def imbalance_ratio(counts: Mapping[str, int]) -> float:
    """Return n_max / n_min over the classes that have images, at least 1."""
    present = [count for count in counts.values() if count > 0]
    return max(present) / min(present) if present else 1.0


def best_recall_low(units: int, confidence: float = 0.95) -> float:
    """Return the lower Clopper-Pearson bound of recall if all ``units`` are right."""
    return clopper_pearson(units, units, confidence).low


def units_for_rate(rate: float, confidence: float = 0.95) -> int:
    """Return how many units without one failure prove a failure rate <= ``rate``.

    One-sided and exact: the smallest n with (1 - rate)^n <= 1 - confidence.

    Raises:
        ValueError: when rate or confidence is not between 0 and 1.
    """
    if not 0 < rate < 1 or not 0 < confidence < 1:
        raise ValueError(f"rate {rate} and confidence {confidence} must be in (0, 1)")
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def proved_rate(units: int, confidence: float = 0.95) -> float:
    """Return the failure rate that ``units`` without a failure rule out, one-sided."""
    return 1.0 - (1 - confidence) ** (1 / units) if units else 1.0


def folds(units: Mapping[str, int]) -> int:
    """Return for how many grouped folds the rarest class suffices; 0 = none.

    Every fold needs a unit of every class to test on, and others to train on.
    """
    rarest = min(units.values(), default=0)
    return min(MAX_FOLDS, rarest) if rarest >= _MIN_FOLDS else 0


def thresholds_make_sense(counts: Mapping[str, int]) -> bool:
    """Tell whether per-class thresholds can be fitted: rarest class at least 10."""
    return min(counts.values(), default=0) >= MIN_FOR_THRESHOLDS


def class_support(
    name: str,
    *,
    images: int,
    groups: int,
    test_groups: int | None = None,
    train_groups: int | None = None,
) -> ClassSupport:
    """Say what a class of so many images in so many independent groups supports.

    Args:
        name: of the class.
        images: of all parts together.
        groups: independent units among them.
        test_groups: those of the data's own test part; None where it has none.
        train_groups: those outside its own validation and test parts; None where it
            has neither.

    Raises:
        ValueError: for more groups than images.
    """
    if groups > images:
        raise ValueError(f"{name}: {groups} groups of {images} images")
    drawn = max(1, round(TEST_SHARE * groups)) if groups >= _MIN_FOLDS else 0
    test = drawn if test_groups is None else test_groups
    unit = "images" if groups == images else "independent groups"
    verdict, reason = (
        _verdict(unit, groups, test)
        if train_groups is None
        else _verdict_of_parts(unit, train_groups, test)
    )
    return ClassSupport(
        name,
        images,
        groups,
        test,
        best_recall_low(groups),
        best_recall_low(test),
        1.0 / (groups + 1),
        groups if train_groups is None else train_groups,
        verdict,
        reason,
    )


def _verdict_of_parts(unit: str, train: int, test: int) -> tuple[str, str]:
    """Judge learning by what may be learned from, and claims by the test part."""
    there = f"{train} {unit} to learn from, {test} in the data's own test part"
    if train < MIN_FOR_THRESHOLDS:
        return "too low", f"{there}; no threshold of its own"
    proved = best_recall_low(test)
    if proved < 0.8:
        return "low", f"{there}, which proves at most {proved:.2f} recall"
    return "enough", there


def _verdict(unit: str, groups: int, test: int) -> tuple[str, str]:
    if groups == 0:
        return "too low", "no labelled image: the class cannot be learned or tested"
    if groups < _MIN_FOLDS:
        return "too low", f"{groups} of {unit}: cannot be both trained on and tested"
    if groups < MIN_FOR_THRESHOLDS:
        return (
            "too low",
            f"{groups} {unit}: all right would prove a recall of only "
            f"{best_recall_low(groups):.2f}; no threshold of its own",
        )
    if best_recall_low(test) < 0.8:  # fewer than 17 units in the test part
        return (
            "low",
            f"a test part of {test} {unit} proves at most {best_recall_low(test):.2f} "
            "recall: use cross-validation for claims",
        )
    return "enough", f"{test} {unit} can be kept for the test"
