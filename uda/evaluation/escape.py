"""Escape limit: how sure must "good" be, so that few defective parts pass as good?

A threshold on the log-odds of a defect, with a guarantee for finite samples that holds
for any model. Escape is (defective and passed) / defective. Sources: order statistics
and Clopper and Pearson 1934; Bates, Angelopoulos, Lei, Malik and Jordan,
"Distribution-free, risk-controlling prediction sets", JACM 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uda.errors import DataError
from uda.evaluation.calibration import scaled
from uda.intervals import clopper_pearson

Floats = npt.NDArray[np.float64]
Guarantee = Literal["confidence", "average"]
_TINY = 1e-9  # 100 * 0.29 is 28.999999999999996


@dataclass(frozen=True)
class EscapeLimit:
    """From which log-odds of a defect on a part is rejected, and what that rests on.

    Attributes:
        good_class: the class of parts without a defect.
        threshold: log(P(defect) / P(good)) of the model, in nats; a part is rejected
            at or above it.
        max_escape: the promised share of defective groups, at most.
        guarantee: "confidence": the share is held with ``confidence``; "average":
            its mean over calibration sets is held.
        confidence: see there.
        groups: defective groups that it was fitted on.
        missed: how many of them have an image that would pass.
        certified: whether the model never saw any of these groups; if not, the
            number is what it would be if it had not.
    """

    good_class: str
    threshold: float
    max_escape: float
    guarantee: Guarantee
    confidence: float
    groups: int
    missed: int
    certified: bool


def log_odds(log_probs: npt.NDArray[Any], good: int) -> Floats:
    """Return (N,) log(P(defect) / P(good)) from (N, C) log-probabilities."""
    logs = scaled(log_probs)
    others = np.delete(logs, good, axis=1)
    top = others.max(axis=1)
    return np.asarray(
        top + np.log(np.exp(others - top[:, None]).sum(axis=1)) - logs[:, good]
    )


def lowest_by_group(scores: Floats, groups: Sequence[object]) -> Floats:
    """Return (G,) the lowest score of each group.

    Images of one part are alike, so parts are counted: one is missed where any of
    its images would pass. Then the images missed, each part counting once, are no
    more.
    """
    names = np.asarray([str(group) for group in groups])
    number = np.unique(names, return_inverse=True)[1]
    lowest = np.full(int(number.max(initial=-1)) + 1, np.inf)
    np.minimum.at(lowest, number, scores)
    return lowest


def allowed_misses(groups: int, max_escape: float, confidence: float) -> int:
    """Return the most misses of which the upper bound stays within ``max_escape``.

    One-sided and exact (Clopper-Pearson); -1 where even no miss proves too little.
    """
    low, high = -1, groups - 1
    while low < high:
        middle = (low + high + 1) // 2
        bound = clopper_pearson(middle, groups, 2 * confidence - 1).high
        low, high = (middle, high) if bound <= max_escape else (low, middle - 1)
    return low


def average_misses(groups: int, max_escape: float) -> int:
    """Return floor((n + 1) alpha) - 1 misses; -1 where the data cannot support it."""
    return math.floor((groups + 1) * max_escape + _TINY) - 1


def misses_for(
    groups: int, max_escape: float, guarantee: Guarantee, confidence: float
) -> int:
    """Return how many of so many defective groups may be missed; -1: none suffice."""
    if guarantee == "average":
        return average_misses(groups, max_escape)
    return allowed_misses(groups, max_escape, confidence)


def needed_groups(max_escape: float, guarantee: Guarantee, confidence: float) -> int:
    """Return how many defective groups the promise takes, none of them missed."""
    if guarantee == "average":
        return math.ceil(1 / max_escape - 1 - _TINY)
    return math.ceil(math.log(1 - confidence) / math.log(1 - max_escape) - _TINY)


def rank_threshold(scores: Floats, misses: int) -> float:
    """Return the highest threshold below which at most ``misses`` scores lie.

    That is the (misses + 1)-th smallest score, ties counted one by one; minus
    infinity, which rejects everything, for negative ``misses``.
    """
    if misses < 0:
        return -math.inf
    return float(np.sort(scores)[misses])


def lowered(threshold: float, good_scores: Floats) -> float:
    """Return a threshold that rejects the same good parts with some distance.

    It moves half the way down to the last good part that passes, in log-odds. A lower
    threshold never lets more defects pass, so the guarantee stays; and what is unlike
    anything seen is not passed for want of defects in between.
    """
    passing = good_scores[good_scores < threshold]
    if not passing.size or not math.isfinite(threshold):
        return threshold
    return float((threshold + passing.max()) / 2)


def fit_escape(
    log_probs: npt.NDArray[Any],
    defective: npt.NDArray[np.bool_],
    groups: Sequence[object],
    *,
    good: int,
    misses: int,
) -> tuple[float, int, int]:
    """Fit the threshold that misses at most so many defective groups.

    Args:
        log_probs: (N, C) of the model itself; a temperature fitted on the same images
            would void the guarantee.
        defective: (N,) whether the part truly is.
        groups: (N,) images of one part share one.
        good: index of the good class.
        misses: from `misses_for`.

    Returns:
        The threshold on the log-odds, the number of defective groups, and how many
        of them the threshold misses.
    """
    scores = log_odds(log_probs, good)
    names = [group for group, bad in zip(groups, defective, strict=True) if bad]
    lowest = lowest_by_group(scores[defective], names)
    threshold = lowered(rank_threshold(lowest, misses), scores[~defective])
    return threshold, lowest.size, int((lowest < threshold).sum())


def refuse_unsupported(
    groups: int, max_escape: float, guarantee: Guarantee, confidence: float
) -> None:
    """Refuse a promise that so few defective groups cannot carry.

    Raises:
        DataError: saying how many are needed.
    """
    if misses_for(groups, max_escape, guarantee, confidence) >= 0:
        return
    need = needed_groups(max_escape, guarantee, confidence)
    sure = f"with {confidence:.0%} confidence" if guarantee == "confidence" else ""
    reach = f"{supported_escape(groups, guarantee, confidence):.3g}" if groups else "1"
    fewer = needed_groups(max_escape, "average", confidence)
    on_average = (
        f", or ask for the mean alone with --guarantee average (needs {fewer})"
        if guarantee == "confidence"
        else ""
    )
    raise DataError(
        f"--max-escape {max_escape:g}: to promise it {sure or 'on average'} takes "
        f"{need} images of defective parts from as many groups, none of them missed; "
        f"here are {groups}. Label {need - groups} more and give them as DATA; or ask "
        f"for what these can carry, --max-escape {reach}{on_average}"
    )


def supported_escape(groups: int, guarantee: Guarantee, confidence: float) -> float:
    """Return the smallest escape that so many groups can carry, rounded up to 3 digits.

    The rounding lets what is printed be typed in again.
    """
    if guarantee == "average":
        value = 1 / (groups + 1)
    else:
        value = 1 - (1 - confidence) ** (1 / groups)
    scale = 10.0 ** (2 - math.floor(math.log10(value)))
    return math.ceil(value * scale) / scale
