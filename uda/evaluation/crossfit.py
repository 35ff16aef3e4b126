"""What a rule gains, told by images that it was not fitted on.

The score of a tuned rule on its own images is several points too good. So groups are
dealt into folds, each image is answered by a rule fitted on the other folds, and the
change against the model alone is pooled, with an interval from draws of groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.evaluation import conformal
from uda.evaluation.calibration import fit_temperature, log_losses
from uda.evaluation.decision import DecisionRule
from uda.evaluation.escape import EscapeLimit, misses_for
from uda.evaluation.paired import paired_intervals
from uda.evaluation.rates import Floats, good_counts, rates, ratio, weighted_matrices
from uda.evaluation.tuning import Sample, TuneConfig, fit_answers, fit_limit
from uda.intervals import Interval

Ints = npt.NDArray[np.int64]
FOLDS = 5
# Limits are quickly fitted, and a class may have just enough groups for them.
_LANE_FOLDS = 50
_UNBOUNDED = ("mean_cost", "log_loss")


@dataclass(frozen=True)
class Answers:
    """Cross-fitted answers to the N images of a sample.

    Attributes:
        predicted: (N,) classes, as if there were no unsure lane.
        unsure: (N,) which of them go to a person.
        losses: (N,) negative log-likelihood in nats, calibrated.
        folds: how many folds there were.
    """

    predicted: Ints
    unsure: npt.NDArray[np.bool_]
    losses: Floats
    folds: int


@dataclass(frozen=True)
class Change:
    """One measure of the model alone and with the rule.

    Attributes:
        name: of the measure.
        before: of the model alone; None where the data cannot say.
        after: with cross-fitted rules.
        interval: 95 %, of after - before; None where it is unknown.
        rising: whether more is better.
    """

    name: str
    before: float | None
    after: float | None
    interval: Interval | None
    rising: bool

    @property
    def verdict(self) -> str:
        """Return ``better``, ``worse``, ``the same`` or ``not shown``."""
        if self.interval is None or self.before is None or self.after is None:
            return "n/a"
        low, high = self.interval
        if low == high == 0:
            return "the same"
        if low > 0 or high < 0:
            return "better" if (low > 0) == self.rising else "worse"
        return "not shown"


def folds_of(sample: Sample, num: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield (rows to fit on, rows to answer), whole groups, classes spread evenly.

    A group with images of several classes counts as that of its rarest.
    """
    names = np.asarray(sample.groups)
    number = np.unique(names, return_inverse=True)[1]
    size = int(number.max()) + 1
    images = np.bincount(sample.targets, minlength=len(sample.classes))
    label = np.zeros(size, np.int64)
    for row in np.argsort(-images[sample.targets], kind="stable").tolist():
        label[number[row]] = sample.targets[row]  # the rarest comes last and stays
    shuffled = rng.permutation(seed, "tune-folds", 0, size)
    order = shuffled[np.argsort(label[shuffled], kind="stable")]
    fold = np.empty(size, np.int64)
    fold[order] = np.arange(size) % num
    for one in range(num):
        inside = fold[number] == one
        yield np.flatnonzero(~inside), np.flatnonzero(inside)


def calibration_helps(sample: Sample, seed: int = 0) -> bool:
    """Tell whether a temperature lowers the likelihood loss of images it never saw."""
    before = after = 0.0
    for fit, ask in folds_of(sample, _folds(sample, FOLDS), seed):
        temperature = fit_temperature(sample.log_probs[fit], sample.targets[fit])
        logs, targets = sample.log_probs[ask], sample.targets[ask]
        before += log_losses(logs, targets).sum()
        after += log_losses(logs, targets, temperature).sum()
    return bool(after < before - 1e-9)


def cross_fit(config: TuneConfig, sample: Sample, rule: DecisionRule) -> Answers:
    """Answer each image by a rule that was fitted without its group.

    Escape limits of the folds are as strict as the whole one: they may miss the same
    share of defective groups.

    Args:
        config: what ``rule`` was fitted by.
        sample: what it was fitted on.
        rule: for the number of misses.
    """
    size = len(sample.targets)
    predicted, losses = np.zeros(size, np.int64), np.zeros(size)
    num = _folds(sample, FOLDS)
    for fit, ask in folds_of(sample, num, config.seed):
        part = sample.take(fit)
        limit = None
        if rule.escape is not None:
            bad = part.groups_of(part.defective(rule.escape.good_class))
            limit = fit_limit(config, part, _misses(rule.escape, bad))
        found = fit_answers(config, part, limit)
        predicted[ask] = found.answers(sample.log_probs[ask])
        losses[ask] = log_losses(
            sample.log_probs[ask], sample.targets[ask], found.temperature
        )
    unsure = np.zeros(size, np.bool_)
    if config.coverage is not None:
        unsure = _unsure(config, sample, predicted)
    return Answers(predicted, unsure, losses, num)


def _misses(limit: EscapeLimit, groups: int) -> int:
    """Return how many of so many groups may be missed at the whole's share."""
    terms = (limit.max_escape, limit.guarantee, limit.confidence)
    share = misses_for(limit.groups, *terms) / max(limit.groups, 1)
    return min(math.floor(share * groups), groups - 1)


def _folds(sample: Sample, most: int) -> int:
    return max(2, min(most, len(set(sample.groups))))


def _unsure(
    config: TuneConfig, sample: Sample, predicted: Ints
) -> npt.NDArray[np.bool_]:
    coverage = config.coverage or 0.0
    good = sample.place_of(config.good_class)
    found = np.zeros(len(predicted), np.bool_)
    num = _folds(sample, _LANE_FOLDS)
    for fit, ask in folds_of(sample, num, config.seed):
        part = sample.take(fit)
        limits, _ = conformal.limits_or_common(
            part.log_probs, part.targets, part.groups, coverage
        )
        sets = conformal.prediction_sets(sample.log_probs[ask], limits)
        found[ask] = conformal.unsure(sets, predicted[ask], good)
    return found


def changes(
    config: TuneConfig, sample: Sample, answers: Answers, *, draws: int = 2000
) -> tuple[Change, ...]:
    """Compare the model alone with cross-fitted rules on the same images.

    Returns:
        Macro-F1 and balanced accuracy; with a good class escape and overkill, with
        costs the mean cost; the negative log-likelihood.
    """
    good = sample.place_of(config.good_class)
    costs = np.asarray(config.costs) if config.costs else None
    alone = np.asarray(sample.log_probs).argmax(axis=1)
    losses = log_losses(sample.log_probs, sample.targets)
    sides = [(answers.predicted, answers.losses), (alone, losses)]

    def measured(ruled: npt.NDArray[Any], plain: npt.NDArray[Any]) -> Floats:
        return _measures(
            sample, [*zip(sides, (ruled, plain), strict=True)], good, costs
        )

    named = _named(good, costs)
    after, before, intervals = paired_intervals(
        measured,
        np.asarray(sample.groups),
        sample.targets,
        (alone != answers.predicted) | (losses != answers.losses),
        unbounded=[p for p, (name, _) in enumerate(named) if name in _UNBOUNDED],
        draws=draws,
        seed=config.seed,
    )
    return tuple(
        Change(
            name,
            _known(before[place]),
            _known(after[place]),
            None if np.isnan(intervals[place].low) else intervals[place],
            rising,
        )
        for place, (name, rising) in enumerate(named)
    )


def _named(good: int | None, costs: Floats | None) -> list[tuple[str, bool]]:
    names = [("macro_f1", True), ("balanced_accuracy", True)]
    if good is not None:
        names += [("escape", False), ("overkill", False)]
    if costs is not None:
        names.append(("mean_cost", False))
    return [*names, ("log_loss", False)]


def _measures(
    sample: Sample,
    answers: Sequence[tuple[tuple[Ints, Floats], npt.NDArray[Any]]],
    good: int | None,
    costs: Floats | None,
) -> Floats:
    """Return (d, M) what `_named` names, for a mix of answers.

    Args:
        sample: of N images.
        answers: (N,) classes and losses of each, with their (d, N) weights.
        good: the class of good parts.
        costs: (C, C) of calling one class another.
    """
    size = len(sample.classes)
    counts = sum(
        weighted_matrices(sample.targets, predicted, weights, size)
        for (predicted, _), weights in answers
    )
    lost = sum(weights.astype(np.float64) @ losses for (_, losses), weights in answers)
    counts, lost = np.asarray(counts), np.asarray(lost)
    rate, total = rates(counts), counts.sum(axis=(1, 2))
    columns = [rate["macro_f1"], rate["balanced_accuracy"]]
    if good is not None:
        escape, _, overkill = good_counts(counts, good)
        columns += [ratio(*escape), ratio(*overkill)]
    if costs is not None:
        columns.append(ratio((counts * costs).sum(axis=(1, 2)), total))
    columns.append(ratio(lost, total))
    return np.stack(columns, axis=1)


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def without_useless_temperature(config: TuneConfig, sample: Sample) -> TuneConfig:
    """Leave the temperature out where it does not help images it never saw."""
    return replace(config, calibrate=calibration_helps(sample, config.seed))
