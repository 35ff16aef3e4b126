"""Conformal sets: the classes that an image may be, each at a stated coverage.

Class-conditional (Mondrian): of the parts that truly are of a class, at least that
share has the class in its set, whatever the model. Sources: Vovk, "Conditional validity
of inductive conformal predictors", ACML 2012; for images in groups, Lee, Barber and
Willett, "Distribution-free inference with hierarchical data", 2023.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_TINY = 1e-9  # (n + 1) * coverage is a whole number only up to rounding


@dataclass(frozen=True)
class UnsureLane:
    """Which answers stand, and which go to a person.

    Attributes:
        coverage: share of each class's parts whose set holds the class, at least.
        limits: (C,) largest -log P(class), in nats, with which a class is in the set.
        promised: (C,) whether a class has groups enough for a limit of its own; the
            others share that of all classes, which promises nothing about them alone.
        good_class: the class of parts without a defect, or None. Where it is named,
            an answer stands also where the set holds several defects, but not it.
    """

    coverage: float
    limits: tuple[float, ...]
    promised: tuple[bool, ...]
    good_class: str | None = None


def needed_groups(coverage: float) -> int:
    """Return the fewest groups with which a class can have a limit of its own.

    That is 1/alpha - 1 with alpha = 1 - coverage: 9 for 0.9, 19 for 0.95, 99 for 0.99.
    """
    return math.ceil(coverage / (1 - coverage) - _TINY)


def quantile(scores: Floats, groups: Sequence[object], coverage: float) -> float:
    """Return the conformal quantile of scores; infinity where groups are too few.

    Each of G groups weighs 1 / (G + 1), shared by its images; the group to come
    weighs as much and lies at infinity. With one image per group that is the
    ceil((n + 1) coverage)-th smallest score.
    """
    names = np.asarray([str(group) for group in groups])
    number, sizes = np.unique(names, return_inverse=True, return_counts=True)[1:]
    weights = 1.0 / (sizes[number] * (sizes.size + 1)) if scores.size else scores
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= coverage - _TINY
    return float(scores[order][reached.argmax()]) if reached.any() else math.inf


def class_limits(
    log_probs: npt.NDArray[Any],
    targets: Ints,
    groups: Sequence[object],
    coverage: float,
) -> Floats:
    """Return (C,) limits on -log P(class), one per class.

    Args:
        log_probs: (N, C) of the model itself; a temperature fitted on the same images
            would void the coverage.
        targets: (N,) true classes.
        groups: (N,) images of one part share one.
        coverage: between 0 and 1.

    Returns:
        Infinity for a class of fewer than `needed_groups`: it is in every set.
    """
    names = np.asarray([str(group) for group in groups])
    logs = np.asarray(log_probs, dtype=np.float64)
    limits = []
    for label in range(logs.shape[1]):
        mine = targets == label
        limits.append(quantile(-logs[mine, label], list(names[mine]), coverage))
    return np.array(limits)


def limits_or_common(
    log_probs: npt.NDArray[Any],
    targets: Ints,
    groups: Sequence[object],
    coverage: float,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return (C,) limits and whether they are the class's own.

    A class with too few groups takes the limit of all together, which is infinite
    where these are too few as well.
    """
    limits = class_limits(log_probs, targets, groups, coverage)
    own = np.isfinite(limits)
    logs = np.asarray(log_probs, dtype=np.float64)
    together = quantile(-logs[np.arange(len(logs)), targets], groups, coverage)
    return np.where(own, limits, together), own


def fit_lane(
    log_probs: npt.NDArray[Any],
    targets: Ints,
    groups: Sequence[object],
    *,
    coverage: float,
    good_class: str | None = None,
) -> UnsureLane:
    """Fit the lane; a class with too few groups takes the limit of all together.

    Raises:
        DataError: all classes together have too few groups.
    """
    limits, promised = limits_or_common(log_probs, targets, groups, coverage)
    if not np.isfinite(limits).all():
        need = needed_groups(coverage)
        raise DataError(
            f"--unsure-coverage {coverage:g}: takes {need} images from as many groups, "
            f"for a promise per class {need} of each class; here are "
            f"{len({str(group) for group in groups})} in all. Label more and give "
            "them as DATA, or ask for a lower coverage"
        )
    return UnsureLane(
        coverage,
        tuple(float(v) for v in limits),
        tuple(bool(v) for v in promised),
        good_class,
    )


def prediction_sets(
    log_probs: npt.NDArray[Any], limits: Sequence[float] | Floats
) -> npt.NDArray[np.bool_]:
    """Return (N, C) which classes are in the set of each image."""
    logs = np.asarray(log_probs, dtype=np.float64)
    return np.asarray(-logs <= np.asarray(limits))


def unsure(
    sets: npt.NDArray[np.bool_], answers: Ints, good: int | None
) -> npt.NDArray[np.bool_]:
    """Return (N,) which answers do not stand.

    An answer stands where it is in its set and alone there; where a good class is
    named also beside other defects, as long as the good class is not in the set.

    Args:
        sets: (N, C) from `prediction_sets`.
        answers: (N,) classes.
        good: index of the good class, or None.
    """
    inside = sets[np.arange(len(sets)), answers]
    decided = sets.sum(axis=1) == 1
    if good is not None:
        decided |= ~sets[:, good]
    return np.asarray(~(inside & decided))
