"""What ``uda tune`` fits on where a run was trained with folds.

Out-of-fold answers are of all labelled images, many more than the validation part has.
But they are of the fold trainings, and the run itself has since learned from these
images: what it does with parts it never saw is asked on the validation part alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from uda.data.splitfile import Split
from uda.errors import DataError
from uda.evaluation.escape import EscapeLimit, log_odds, lowest_by_group
from uda.evaluation.out_of_fold import OutOfFold
from uda.evaluation.tuning import Sample
from uda.intervals import clopper_pearson
from uda.run.bundle import Bundle
from uda.run.layout import RunFolder

NAME = "out of fold"
_FEWEST = 2  # groups that any rule takes


@dataclass(frozen=True)
class FoldSample:
    """Out-of-fold answers to fit a rule on.

    Attributes:
        sample: a row for each image and repeat.
        images: number of images.
        answers: of how many trainings each image has one, at most.
        notes: what was left out, and why.
    """

    sample: Sample
    images: int
    answers: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LimitCheck:
    """An escape limit, tried on groups that had no part in fitting it.

    Attributes:
        groups: defective ones; none where there is no validation part.
        missed: how many of them have an image that passes.
        bound: upper limit of the share missed, one-sided; 1 without groups.
        confidence: of the bound.
    """

    groups: int
    missed: int
    bound: float
    confidence: float


def fold_sample(
    run: RunFolder, bundle: Bundle, *, spare_validation: bool
) -> tuple[FoldSample | None, str]:
    """Return a run's out-of-fold answers that fit what it hands over.

    Args:
        run: the run.
        bundle: what it hands over. Answers of trainings that handed over another
            kind are left out: their probabilities mean something else.
        spare_validation: leave out the images of the validation part, on which the
            rule is then tried.

    Returns:
        The sample, or None and the reason why there is none; an empty reason where
        the run was trained without folds.

    Raises:
        DataError: the file is damaged, or about other classes.
    """
    if not run.out_of_fold.is_file():
        return None, ""
    found = OutOfFold.load(run.out_of_fold)
    if found.predictions.classes != bundle.classes:
        raise DataError(
            f"{run.out_of_fold}: is about other classes than the run; copy the run "
            "folder again, or train again with --folds"
        )
    kept = found.of_kind(bundle.kind)
    others = len(found.groups) - len(kept.groups)
    notes = []
    if others:
        notes.append(
            f"{others} of {len(found.groups)} out-of-fold answers are left out: those "
            f"trainings did not hand over a {bundle.kind}, as this run does"
        )
    if spare_validation:
        kept = _without_validation(run, kept)
        notes.append(
            "the validation part is left out of the fit, so that the escape limit can "
            "be tried on it"
        )
    if len(set(kept.groups)) < _FEWEST:
        return None, notes[0] if notes else "there are too few out-of-fold answers"
    sample = Sample.of(kept.predictions, kept.groups)
    most = max(Counter(kept.predictions.ids).values())
    return FoldSample(sample, kept.images, most, tuple(notes)), ""


def _without_validation(run: RunFolder, found: OutOfFold) -> OutOfFold:
    inside = {row.path for row in Split.load(run.split).part("validation")}
    rows = [row for row, name in enumerate(found.predictions.ids) if name not in inside]
    return found.take(np.array(rows, dtype=np.int64))


def check_limit(limit: EscapeLimit, sample: Sample | None) -> LimitCheck:
    """Count which defective groups a limit misses that it was not fitted on.

    Args:
        limit: the limit.
        sample: answers of the run itself; None where there is no image.
    """
    if sample is None:
        return LimitCheck(0, 0, 1.0, limit.confidence)
    bad = sample.defective(limit.good_class)
    scores = log_odds(sample.log_probs, sample.classes.index(limit.good_class))
    names = [g for g, defective in zip(sample.groups, bad, strict=True) if defective]
    lowest = lowest_by_group(scores[bad], names)
    missed = int((lowest < limit.threshold).sum())
    bound = clopper_pearson(missed, lowest.size, 2 * limit.confidence - 1).high
    return LimitCheck(lowest.size, missed, bound, limit.confidence)
