"""What a decision rule does with some images: who looks, what slips through, the cost.

The other numbers of an evaluation count every answer as if nothing were unsure; here a
part that goes to a person is neither passed nor rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.evaluation.estimates import (
    NOT_AVAILABLE,
    DecisionMetrics,
    Estimate,
    is_flat,
    proportion,
)
from uda.evaluation.predict import Predictions
from uda.evaluation.rates import Floats, ratio
from uda.intervals import Interval, bootstrap_by_group, clopper_pearson


def measure_decision(
    predictions: Predictions,
    *,
    good_class: str | None = None,
    groups: Sequence[object] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> DecisionMetrics | None:
    """Measure a rule's decisions; None where there is no rule.

    Shares have the intervals of `estimates.proportion`; the mean cost has the
    bootstrap's.

    Args:
        predictions: images without a true class are left out.
        good_class: class of parts without a defect, for escape and overkill.
        groups: (N,) group of each image; None makes each image its own.
        draws: bootstrap draws.
        seed: of the bootstrap.
    """
    rule = predictions.rule
    if rule is None:
        return None
    found = _Decisions(predictions, groups, draws, seed)
    targets, unsure = found.targets, found.unsure
    everything = np.ones(targets.size, np.bool_)
    lane = rule.lane is not None
    wrong = found.predicted != targets
    escape = overkill = NOT_AVAILABLE
    if lane and good_class is not None:
        good = predictions.classes.index(good_class)
        passed = (found.predicted == good) & ~unsure
        escape = found.share(passed, targets != good)
        overkill = found.share(~passed & ~unsure, targets == good)
    return DecisionMetrics(
        words=rule.words(),
        unsure=found.share(unsure, everything) if lane else NOT_AVAILABLE,
        unsure_by_class=tuple(
            found.share(unsure, targets == label) if lane else NOT_AVAILABLE
            for label in range(len(predictions.classes))
        ),
        wrong=found.share(wrong, ~unsure) if lane else NOT_AVAILABLE,
        escape=escape,
        overkill=overkill,
        cost=found.cost(np.asarray(rule.costs)) if rule.costs else NOT_AVAILABLE,
    )


class _Decisions:
    """The known part of some predictions, and how its shares are counted."""

    def __init__(
        self,
        predictions: Predictions,
        groups: Sequence[object] | None,
        draws: int,
        seed: int,
    ) -> None:
        known = np.flatnonzero(predictions.known)
        self.targets = predictions.targets[known]
        self.predicted = predictions.predicted[known]
        self.unsure = predictions.unsure[known]
        names = (
            [str(row) for row in known.tolist()]
            if groups is None
            else [str(groups[row]) for row in known.tolist()]
        )
        self.groups = np.asarray(names)
        self.draws, self.seed = draws, seed

    def share(
        self, part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]
    ) -> Estimate:
        """Return how many of the images in ``whole`` are in ``part`` too."""
        return share(
            part,
            whole,
            self.groups,
            self.targets,
            draws=self.draws,
            seed=self.seed,
        )

    def cost(self, costs: Floats) -> Estimate:
        """Return the mean cost per part.

        Where all parts cost the same, the interval allows for as many others as that
        many groups could hide.
        """
        if not self.targets.size:
            return NOT_AVAILABLE
        each = costs[self.targets, self.predicted]
        value = float(each.mean())
        low, high = bootstrap_by_group(
            lambda w: ratio(w @ each, w.sum(axis=1)),
            self.groups,
            self.targets,
            self.draws,
            seed=self.seed,
        )
        box = Interval(float(low), float(high))
        if is_flat(box):
            hidden = clopper_pearson(0, len(np.unique(self.groups))).high
            possible = costs[np.unique(self.targets)]
            box = Interval(
                value - hidden * (value - float(possible.min())),
                value + hidden * (float(possible.max()) - value),
            )
        return Estimate(value, box, None, int(each.size))


def share(
    part: npt.NDArray[np.bool_],
    whole: npt.NDArray[np.bool_],
    groups: npt.NDArray[Any],
    targets: npt.NDArray[np.int64],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return how many of the images in ``whole`` are in ``part`` too.

    The interval is that of `estimates.proportion`, by a bootstrap over groups that are
    drawn within true classes.

    Args:
        part: (N,).
        whole: (N,).
        groups: (N,) group of each image.
        targets: (N,) true classes.
        draws: bootstrap draws.
        seed: of the bootstrap.
    """
    box = Interval(np.nan, np.nan)
    if len(np.unique(groups)) < len(part) and whole.any():
        low, high = bootstrap_by_group(
            lambda w: ratio(w @ (part & whole), w @ whole),
            groups,
            targets,
            draws,
            seed=seed,
        )
        box = Interval(float(low), float(high))
    return proportion(part, whole, groups, box)
