"""A learning curve: what a share of the labels gives, and what more would be worth.

Errors fall with the number of labels as a power law, error = a * n^-b, over ranges
that are not too wide (Hestness et al. 2017). It is fitted in every draw of groups, so
that the outlook has an interval; where that holds no gain, or too few groups say how
wide it is, nothing can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.evaluation.estimates import FEW, is_flat
from uda.evaluation.paired import values
from uda.intervals import Interval
from uda.study.answers import Answers
from uda.study.findings import draws_of
from uda.study.request import Planned
from uda.study.verdict import points

Floats = npt.NDArray[np.float64]
MEASURES = ("balanced_accuracy", "rarest_recall")
_TITLES = {"balanced_accuracy": "balanced accuracy"}
_LEAST = 1e-3  # error of a power law; a perfect answer has no logarithm


@dataclass(frozen=True)
class Point:
    """One share: value and 95 % interval of a measure.

    Attributes:
        share: of the labels that was asked for.
        labels: images that kept theirs, mean over the folds: whole groups are kept.
        value: of the measure.
        interval: of it.
    """

    share: float
    labels: float
    value: float
    interval: Interval


@dataclass(frozen=True)
class Outlook:
    """What twice the labels would add to a measure.

    Attributes:
        gain: by the power law.
        interval: 95 % interval of it, from draws of groups.
        groups: of the rarest class. Where all the few of a class turn from wrong to
            right, no draw differs; a mean over the classes holds that class too.
    """

    gain: float
    interval: Interval
    groups: int

    @property
    def told(self) -> bool:
        """Whether an interval that can be trusted leaves out "nothing"."""
        trusted = self.groups >= FEW and not is_flat(self.interval)
        return trusted and self.interval.low > 0


@dataclass(frozen=True)
class Curve:
    """A strategy's learning curve.

    Attributes:
        rarest: name of the class with the fewest groups.
        points: measure -> one for each share, rising; empty before all are there.
        outlooks: measure -> what twice the labels would be worth; empty where all
            shares came to the same number of labels.
    """

    rarest: str
    points: dict[str, tuple[Point, ...]]
    outlooks: dict[str, Outlook]

    def title(self, measure: str) -> str:
        """Return a measure in words."""
        return _TITLES.get(measure, f"recall of {self.rarest}")

    def lines(self) -> list[str]:
        """Return the curve in words."""
        if not self.points:
            return ["No share has answers to all folds that the others have, yet."]
        found = []
        for measure, row in self.points.items():
            shown = "; ".join(
                f"{100 * p.share:g}% of the labels ({p.labels:.0f} images): "
                f"{points(p.value)} ({_between(p.interval)})"
                for p in row
            )
            title = self.title(measure)
            found.append(f"{title[0].upper()}{title[1:]}: {shown}.")
            found.append(self._outlook(measure))
        return found

    def _outlook(self, measure: str) -> str:
        outlook = self.outlooks.get(measure)
        if outlook is None:
            return "All shares came to the same labels, so more cannot be told."
        what = "labels" if measure in _TITLES else f"{self.rarest} labels, and others,"
        if outlook.told:
            return (
                f"Twice the {what} would be worth {points(outlook.gain)} points, "
                f"interval {_between(outlook.interval)}, if the curve goes on as a "
                "power law."
            )
        if outlook.groups < FEW:
            why = f"{self.rarest} has too few groups, {outlook.groups}"
        else:
            why = (
                f"{points(outlook.gain)} points by a power law, interval "
                f"{_between(outlook.interval)}"
            )
        return f"What twice the {what} would be worth cannot be told: {why}."

    def facts(self) -> dict[str, Any]:
        """Return plain values for verdict.json."""
        return {
            measure: {
                "title": self.title(measure),
                "points": [asdict(point) for point in row],
                "outlook": asdict(self.outlooks[measure])
                if measure in self.outlooks
                else None,
            }
            for measure, row in self.points.items()
        }


def curve_of(answers: Answers, plan: Sequence[Planned], *, seed: int = 0) -> Curve:
    """Read a curve off the answers of a strategy's shares.

    Args:
        answers: of the study.
        plan: one strategy at several shares.
        seed: of the draws.
    """
    rising = sorted(plan, key=lambda planned: planned.strategy.share)
    names = [planned.strategy.name for planned in rising]
    shares = [planned.strategy.share for planned in rising]
    folds = answers.shared(*names)
    rarest = answers.classes[answers.rarest]
    if not folds:
        return Curve(rarest, {}, {})
    # Not the shares: of few groups, whole ones are far from the share asked for.
    labels = np.array([answers.labels(name, folds) for name in names])
    asked = answers.asked(folds, None)
    predicted = [answers.predicted(name, folds) for name in names]
    drawn = draws_of(asked, predicted, seed=seed)
    one = np.ones((1, asked.targets.size))
    own = np.stack([values(asked, p, one) for p in predicted], axis=1)
    found: dict[str, tuple[Point, ...]] = {}
    outlooks = {}
    for measure in MEASURES:
        place = asked.measures.index(measure)
        if labels.min() < labels.max():
            gains = twice(labels, drawn[:, :, place])
            outlooks[measure] = Outlook(
                float(twice(labels, own[:, :, place])[0]),
                _interval(gains),
                answers.groups[answers.rarest],
            )
        found[measure] = tuple(
            Point(
                share,
                float(labels[i]),
                float(own[0, i, place]),
                _interval(drawn[:, i, place]),
            )
            for i, share in enumerate(shares)
        )
    return Curve(rarest, found, outlooks)


def twice(labels: Floats, scores: Floats) -> Floats:
    """Return (d,) what twice the most labels would add to (d, S) scores.

    log(error) is fitted by a line in log(labels), by least squares; the gain is the
    fall of the fitted error from the most labels to twice that.

    Args:
        labels: (S,) numbers of labels, or shares of them; not all alike.
        scores: (d, S) at each.
    """
    x = np.log(labels)
    errors = np.log(np.maximum(1 - scores, _LEAST))
    centred = x - x.mean()
    slope = errors @ centred / (centred @ centred)
    at_end = np.exp(errors.mean(axis=1) + slope * centred.max())
    return np.asarray(at_end * (1 - 2.0**slope))


def _between(interval: Interval) -> str:
    # No spread is what a few alike groups show, and no certainty.
    if is_flat(interval):
        return "unknown, as no draw differs"
    return f"{points(interval.low)} to {points(interval.high)}"


def _interval(drawn: Floats) -> Interval:
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, (0.025, 0.975)) if known.size else (np.nan, np.nan)
    return Interval(float(low), float(high))
