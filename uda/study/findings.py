"""What a study can tell: values, paired differences with intervals, who is best.

Two intervals answer two questions. Whole groups are drawn again: would other images
change it, given these trained models? The corrected resampled t-test over folds and
repeats: would other training sets? What is shown holds both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda.evaluation.paired import Asked, values
from uda.intervals import Interval, bootstrap_by_group, corrected_t
from uda.study.answers import Answers, Fold, Ints

Floats = npt.NDArray[np.float64]
MAIN = "balanced_accuracy"
DRAWS = 4000


@dataclass(frozen=True)
class Gap:
    """A strategy minus the reference, in one measure, over the folds both have.

    Attributes:
        value: of the pooled answers.
        images: 95 % interval from draws of groups.
        trainings: 95 % interval of the corrected resampled t-test; None for fewer
            than two folds that can tell.
        joint: both together, widened for as many comparisons as there are
            (Bonferroni): what it leaves out, luck among them does not explain.
    """

    value: float
    images: Interval
    trainings: Interval | None
    joint: Interval

    @property
    def interval(self) -> Interval:
        """Return the interval that holds both 95 % ones."""
        return _hull(self.images, self.trainings)


@dataclass(frozen=True)
class Row:
    """One strategy.

    Attributes:
        name: of the strategy.
        values: measure -> pooled value, mean over the repeats; empty without answers.
        gaps: measure -> difference to the reference; empty for the reference itself.
        best: chance that it is the best of those with all answers, in the main
            measure; None where it lacks some.
        cells: how many have answers.
        failed: how many ended with an error.
        errors: what went wrong in these.
        seconds: mean of a cell.
    """

    name: str
    values: Mapping[str, float]
    gaps: Mapping[str, Gap]
    best: float | None
    cells: int
    failed: int
    errors: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Findings:
    """A study's table.

    Attributes:
        rows: in the order of the strategies.
        reference: name of the strategy that the others are compared to.
        measures: that were taken.
        rarest: name of the rarest class, its images and its groups.
        num_cells: of each strategy when all are finished.
        optimism: by how much the best value of all is too good, as the best of so
            many; None with fewer than two.
        unread: paths of images that could not be read, and are in no number.
    """

    rows: tuple[Row, ...]
    reference: str
    measures: tuple[str, ...]
    rarest: tuple[str, int, int]
    num_cells: int
    optimism: float | None
    unread: tuple[str, ...] = ()

    @property
    def finished(self) -> int:
        """Return how many cells have answers or an error."""
        return sum(row.cells + row.failed for row in self.rows)

    @property
    def wanted(self) -> int:
        """Return how many cells there will be."""
        return self.num_cells * len(self.rows)

    @property
    def complete(self) -> bool:
        """Whether all cells are finished."""
        return self.finished == self.wanted

    @property
    def compared(self) -> int:
        """Return how many strategies are compared to the reference."""
        return sum(1 for row in self.rows if row.gaps)

    def row(self, name: str) -> Row:
        """Return one strategy's row."""
        return next(row for row in self.rows if row.name == name)


def find(
    answers: Answers, *, reference: str, good_class: str | None = None, seed: int = 0
) -> Findings:
    """Compare all strategies of a study with one of them.

    Args:
        answers: of the finished cells.
        reference: the strategy to compare to.
        good_class: of parts without a defect, for escape and overkill.
        seed: of the draws.
    """
    whole = answers.shared(reference)
    full = [n for n in answers.told if whole and answers.shared(n, reference) == whole]
    best: dict[str, float] = {}
    optimism = None
    if len(full) > 1:
        best, optimism = _best(answers, full, whole, seed)
    others = [n for n in answers.told if n != reference]
    num = sum(1 for n in others if answers.shared(n, reference))
    rarest = answers.rarest
    asked = answers.asked(whole, good_class) if whole else None
    return Findings(
        tuple(
            _row(answers, name, reference, good_class, num, best.get(name), seed)
            for name in answers.told
        ),
        reference,
        () if asked is None else asked.measures,
        (answers.classes[rarest], answers.counts[rarest], answers.groups[rarest]),
        answers.num_folds * answers.num_repeats,
        optimism,
        answers.unread,
    )


def draws_of(asked: Asked, predicted: Sequence[Ints], *, seed: int) -> Floats:
    """Return (DRAWS, S, M) measures of S strategies under common draws of groups."""
    found: list[Floats] = []

    def statistic(weights: npt.NDArray[np.float32]) -> Floats:
        found.append(np.stack([values(asked, p, weights) for p in predicted], axis=1))
        return found[-1]

    bootstrap_by_group(statistic, asked.groups, asked.targets, DRAWS, seed=seed)
    return np.concatenate(found)


def _best(
    answers: Answers, names: Sequence[str], folds: Sequence[Fold], seed: int
) -> tuple[dict[str, float], float]:
    """Return each one's chance to be the best, and how optimistic the best value is.

    In every draw the best is chosen anew. What the chosen ones gain there over their
    value in the data is what choosing the best of so many gains by luck alone
    (the bootstrap's estimate of optimism, Efron 1983).
    """
    asked = answers.asked(folds, None)
    predicted = [answers.predicted(name, folds) for name in names]
    place = asked.measures.index(MAIN)
    drawn = draws_of(asked, predicted, seed=seed)[:, :, place]
    one = np.ones((1, asked.targets.size))
    own = np.array([values(asked, p, one)[0, place] for p in predicted])
    top = drawn.max(axis=1, keepdims=True)
    winners = drawn >= top - 1e-12
    shares = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
    chosen = drawn.argmax(axis=1)
    optimism = float((top[:, 0] - own[chosen]).mean())
    return dict(zip(names, shares.tolist(), strict=True)), max(0.0, optimism)


def _row(
    answers: Answers,
    name: str,
    reference: str,
    good_class: str | None,
    num: int,
    best: float | None,
    seed: int,
) -> Row:
    told = answers.told[name]
    folds = answers.shared(name)
    measured: dict[str, float] = {}
    if folds:
        asked = answers.asked(folds, good_class)
        one = np.ones((1, asked.targets.size))
        found = values(asked, answers.predicted(name, folds), one)[0]
        measured = dict(zip(asked.measures, found.tolist(), strict=True))
    common = answers.shared(name, reference)
    compared = name != reference and bool(common)
    return Row(
        name=name,
        values=measured,
        gaps=gaps_of(answers, name, reference, common, good_class, num, seed)
        if compared
        else {},
        best=best,
        cells=len(folds),
        failed=len(told.errors),
        errors=tuple(sorted(set(told.errors.values()))),
        seconds=float(np.mean(told.seconds)) if told.seconds else None,
    )


def gaps_of(
    answers: Answers,
    name: str,
    reference: str,
    folds: Sequence[Fold],
    good_class: str | None,
    num: int,
    seed: int,
) -> dict[str, Gap]:
    """Return a strategy's differences to the reference, by measure.

    Args:
        answers: of all strategies.
        name: of the strategy.
        reference: of the other.
        folds: that both have answers for.
        good_class: of parts without a defect, or None.
        num: comparisons that are made in all.
        seed: of the draws.
    """
    asked = answers.asked(folds, good_class)
    pair = [answers.predicted(n, folds) for n in (name, reference)]
    one = np.ones((1, asked.targets.size))
    own = values(asked, pair[0], one)[0] - values(asked, pair[1], one)[0]
    both = draws_of(asked, pair, seed=seed)
    drawn = both[:, 0] - both[:, 1]
    by_fold = _by_fold(answers, name, reference, folds, good_class)
    ratio = answers.tested_to_trained((name, reference), folds)
    return {
        measure: Gap(
            float(own[place]),
            _quantiles(drawn[:, place], 0.95),
            _resampled(by_fold[:, place], ratio, 0.95),
            _hull(
                _quantiles(drawn[:, place], 1 - 0.05 / num),
                _resampled(by_fold[:, place], ratio, 1 - 0.05 / num),
            ),
        )
        for place, measure in enumerate(asked.measures)
    }


def _by_fold(
    answers: Answers,
    name: str,
    reference: str,
    folds: Sequence[Fold],
    good_class: str | None,
) -> Floats:
    """Return (J, M) differences fold by fold; NaN where a fold cannot tell."""
    found = []
    for fold in folds:
        asked = answers.asked([fold], good_class)
        one = np.ones((1, asked.targets.size))
        first, second = (
            values(asked, answers.predicted(n, [fold]), one)[0]
            for n in (name, reference)
        )
        found.append(first - second)
    return np.stack(found)


def _quantiles(drawn: Floats, confidence: float) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return Interval(float(low), float(high))


def _resampled(differences: Floats, ratio: float, confidence: float) -> Interval | None:
    known = differences[~np.isnan(differences)]
    if known.size < 2:
        return None
    found = corrected_t(known, ratio, confidence).interval
    # Shares differ by 1 at most, which the t-distribution of few folds does not know.
    return Interval(max(found.low, -1.0), min(found.high, 1.0))


def _hull(images: Interval, trainings: Interval | None) -> Interval:
    return images if trainings is None else images.hull(trainings)
