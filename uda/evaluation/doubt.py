"""Labels that out-of-fold answers doubt, most doubtful first.

Confident learning: an image counts as of class j where P(j) reaches t_j, the mean of
P(j) over the images labelled j; among several such classes the likeliest one. An image
that so counts for another class than its label is doubted. The threshold of each class
is its own, so a class that the model is rarely sure of is not doubted as a whole.
Source: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in
dataset labels", JAIR 2021, equations 1 and 2, and the normalised margin of its ranking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.evaluation.out_of_fold import OutOfFold

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Doubt:
    """One image and what the answers say against its label.

    Attributes:
        path: of the image.
        label: that it has.
        suggested: the class that speaks most against it.
        own: probability of its label, the mean over repeats.
        other: probability of the suggested class.
        usual: mean probability of that class among images labelled so, its threshold;
            infinity where there is none.
        margin: (1 + own - other) / 2, 0 to 1; low is doubtful.
        doubted: whether it counts as of the suggested class.
        agreeing: of the repeats' answers, how many name the suggested class.
        answers: how many repeats there are.
    """

    path: str
    label: str
    suggested: str
    own: float
    other: float
    usual: float
    margin: float
    doubted: bool
    agreeing: int
    answers: int

    @property
    def reason(self) -> str:
        """Return in words what speaks against the label."""
        level = "as sure as" if self.doubted else "less sure than"
        usual = f"{level} for images labelled so ({self.usual:.2f} on average)"
        if math.isinf(self.usual):
            usual = "and no image labelled so was held out to compare with"
        text = f"{self.suggested} {self.other:.2f}, {usual}"
        if self.answers > 1:
            text += f"; {self.agreeing} of {self.answers} trainings say so"
        return text


def class_thresholds(probs: Floats, labels: Ints) -> Floats:
    """Return (C,) mean P(j) of the images labelled j; infinity without images.

    Args:
        probs: (N, C), rows sum to 1.
        labels: (N,).
    """
    limits = np.full(probs.shape[1], np.inf)
    for label in np.unique(labels).tolist():
        limits[label] = probs[labels == label, label].mean()
    return limits


def confident_classes(probs: Floats, limits: Floats) -> Ints:
    """Return (N,) the class that each image counts as; -1 where it reaches none."""
    reached = np.where(probs >= limits, probs, -1.0)
    found = reached.argmax(axis=1)
    return np.where(reached.max(axis=1) < 0, -1, found).astype(np.int64)


def find_doubts(found: OutOfFold) -> list[Doubt]:
    """Rank all labelled images, doubted ones first, then by margin.

    Args:
        found: answers with one label per image; repeats are averaged.
    """
    whole = found.predictions
    paths, first, place = np.unique(
        np.array(whole.ids, dtype=object), return_index=True, return_inverse=True
    )
    answers = np.bincount(place)
    probs = np.zeros((len(paths), len(whole.classes)))
    np.add.at(probs, place, whole.probs)
    probs /= answers[:, None]
    labels = whole.targets[first]
    limits = class_thresholds(probs, labels)
    counts_as = confident_classes(probs, limits)
    others = probs.copy()
    others[np.arange(len(paths)), labels] = -1.0
    doubted = (counts_as >= 0) & (counts_as != labels)
    suggested = np.where(doubted, counts_as, others.argmax(axis=1))
    votes = np.zeros(len(paths), np.int64)
    np.add.at(votes, place, whole.likeliest == suggested[place])
    entries = [
        _doubt(
            (str(paths[n]), whole.classes),
            (int(labels[n]), int(suggested[n]), bool(doubted[n])),
            (probs[n], limits),
            (int(votes[n]), int(answers[n])),
        )
        for n in range(len(paths))
    ]
    return sorted(entries, key=lambda e: (not e.doubted, e.margin, e.path))


def _doubt(
    names: tuple[str, tuple[str, ...]],
    place: tuple[int, int, bool],
    values: tuple[Floats, Floats],
    votes: tuple[int, int],
) -> Doubt:
    (path, classes), (label, suggested, doubted) = names, place
    probs, limits = values
    own, other = float(probs[label]), float(probs[suggested])
    return Doubt(
        path=path,
        label=classes[label],
        suggested=classes[suggested],
        own=own,
        other=other,
        usual=float(limits[suggested]),
        margin=(1 + own - other) / 2,
        doubted=doubted,
        agreeing=votes[0],
        answers=votes[1],
    )


def doubt_counts(doubts: list[Doubt], classes: tuple[str, ...]) -> npt.NDArray[Any]:
    """Return (C, C) doubted images by label (row) and suggested class (column)."""
    number = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for entry in doubts:
        if entry.doubted:
            counts[number[entry.label], number[entry.suggested]] += 1
    return counts
