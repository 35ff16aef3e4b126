"""What the fold trainings of a run say, as plain text and for the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

from uda.evaluation.out_of_fold import FoldScores, OutOfFold, fold_scores
from uda.reporting.text import short, table

_WORDS = {
    "balanced_accuracy": "balanced accuracy",
    "macro_ap": "mean average precision",
}


def fold_lines(found: OutOfFold) -> list[str]:
    """Return what is known of the run by images that were held out in turn."""
    scores = fold_scores(found)
    repeats = len(scores.metrics)
    again = f", {repeats} times" if repeats > 1 else ""
    folds = len(scores.by_fold[0])
    return [
        f"Out of fold: {found.images} labelled images of {len(set(found.groups))} "
        f"groups, each answered by a training that did not see its group ({folds} "
        f"folds{again}).",
        *_class_lines(scores),
        f"{_WORDS[scores.score]}: {scores.overall(scores.score)}, pooled; "
        f"macro-F1: {scores.overall('macro_f1')}",
        *_spread_lines(scores),
        *_kind_lines(found),
        "Intervals are 95 %. The run itself learns from all of these images, more than "
        "any fold did; how good it is, only the test part can say.",
    ]


def fold_block(found: OutOfFold) -> dict[str, Any]:
    """Return what the report's template prints of the answers.

    Returns:
        ``words`` say what they are of; ``overall`` is (name, estimate); ``classes``
        are (name, images, groups, recall). An image counts once, however often it was
        answered.
    """
    scores = fold_scores(found)
    repeats, folds = len(scores.metrics), len(scores.by_fold[0])
    again = f", dealt {repeats} times" if repeats > 1 else ""
    return {
        "words": (
            f"{found.images} labelled images of {len(set(found.groups))} groups in "
            f"{folds} folds{again}; each image answered by a training that never saw it"
        ),
        "overall": (_WORDS[scores.score], scores.overall(scores.score)),
        "classes": [
            (one.name, one.images, one.groups, scores.overall(f"recall:{one.name}"))
            for one in scores.metrics[0].per_class
        ],
    }


def _class_lines(scores: FoldScores) -> list[str]:
    names = ("recall", "precision", "f1")
    rows = [["class", "images", "groups", "recall", "precision", "F1"]]
    for entry in scores.metrics[0].per_class:
        numbers = [str(scores.overall(f"{name}:{entry.name}")) for name in names]
        rows.append([short(entry.name), str(entry.images), str(entry.groups), *numbers])
    return table(rows)


def _spread_lines(scores: FoldScores) -> list[str]:
    mean = scores.fold_mean
    if mean is None:
        return []
    values = [value for line in scores.by_fold for value in line]
    told = " ".join("n/a" if v is None else f"{v:.3f}" for v in values)
    return [
        f"by training: {told}; mean {mean[0]:.3f}, standard deviation {mean[1]:.3f} "
        f"of {mean[2]}"
    ]


def _kind_lines(found: OutOfFold) -> list[str]:
    """Say what the trainings handed over, where it was not always a network."""
    trainings = set(
        zip(found.repeats.tolist(), found.folds.tolist(), found.kinds, strict=True)
    )
    counts = Counter(kind for _, _, kind in trainings)
    if set(counts) == {"network"}:
        return []
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()))
    return [f"handed over by the trainings: {told}"]
