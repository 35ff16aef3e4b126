"""Out-of-fold answers: labelled images, answered by trainings that never saw them.

One file in the run, readable as Predictions too, and what it says of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.table import encode_name
from uda.errors import DataError
from uda.evaluation.estimates import Estimate
from uda.evaluation.metrics import measure
from uda.evaluation.multilabel import AnyMetrics, measure_labels
from uda.evaluation.predict import BROKEN, Predictions, pack, unpack, write_arrays
from uda.files import write_csv
from uda.intervals import Interval

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """What one training said of the fold that it did not see.

    Attributes:
        predictions: of the n images held out.
        groups: (n,) which images belong together.
        repeat: number of the repeat.
        fold: number of the fold in it.
        kind: what the training handed over, ``network`` or ``texture``.
    """

    predictions: Predictions
    groups: tuple[str, ...]
    repeat: int
    fold: int
    kind: str


@dataclass(frozen=True)
class OutOfFold:
    """The answers of all fold trainings of a run; N rows, repeats one after another.

    Attributes:
        predictions: an image has one row for each repeat. With several labels the
            thresholds are the means over the folds.
        groups: (N,) which images belong together.
        repeats: (N,) the repeat of each row.
        folds: (N,) the fold of each row.
        kinds: (N,) what that training handed over, ``network`` or ``texture``.
    """

    predictions: Predictions
    groups: tuple[str, ...]
    repeats: Ints
    folds: Ints
    kinds: tuple[str, ...]

    @classmethod
    def pooled(cls, parts: Sequence[HeldOut]) -> OutOfFold:
        """Join what the fold trainings said."""
        found = [part.predictions for part in parts]
        limits = [p.thresholds for p in found if p.thresholds]
        joined = Predictions(
            ids=[name for p in found for name in p.ids],
            targets=np.concatenate([p.targets for p in found]),
            log_probs=np.concatenate([p.log_probs for p in found]),
            classes=found[0].classes,
            link=found[0].link,
            thresholds=tuple(np.mean(limits, axis=0).tolist()) if limits else (),
        )
        sizes = [len(p.ids) for p in found]
        return cls(
            joined,
            tuple(name for part in parts for name in part.groups),
            np.repeat([part.repeat for part in parts], sizes).astype(np.int64),
            np.repeat([part.fold for part in parts], sizes).astype(np.int64),
            tuple(p.kind for p, n in zip(parts, sizes, strict=True) for _ in range(n)),
        )

    def take(self, rows: npt.NDArray[Any]) -> OutOfFold:
        """Return some of the rows, by number."""
        chosen = [int(row) for row in rows]
        whole = self.predictions
        kept = replace(
            whole,
            ids=[whole.ids[row] for row in chosen],
            targets=whole.targets[chosen],
            log_probs=whole.log_probs[chosen],
        )
        return OutOfFold(
            kept,
            tuple(self.groups[row] for row in chosen),
            self.repeats[chosen],
            self.folds[chosen],
            tuple(self.kinds[row] for row in chosen),
        )

    @property
    def images(self) -> int:
        """How many images there are, whatever the number of repeats."""
        return len(set(self.predictions.ids))

    def of_kind(self, kind: str) -> OutOfFold:
        """Return the rows of trainings that handed over a ``network`` or ``texture``.

        Log-probabilities of the two mean different things.
        """
        return self.take(np.flatnonzero(np.asarray(self.kinds) == kind))

    def save(self, path: Path) -> None:
        """Write an npz file that `Predictions.load` can read as well."""
        more = {
            # An image of no group is one of its own: \0 and its path.
            "groups": pack([name.lstrip("\0") for name in self.groups]),
            "alone": np.array([name.startswith("\0") for name in self.groups]),
            "repeats": self.repeats,
            "folds": self.folds,
            "kinds": pack(self.kinds),
        }
        write_arrays(path, {**self.predictions.arrays(), **more})

    @classmethod
    def load(cls, path: Path) -> OutOfFold:
        """Read what `save` wrote; a broken file is a DataError."""
        predictions = Predictions.load(path)
        try:
            with Path(path).open("rb") as stream, np.load(stream) as stored:
                names = unpack(stored["groups"])
                alone = stored["alone"].tolist()
                groups = ["\0" * a + n for n, a in zip(names, alone, strict=True)]
                return cls(
                    predictions,
                    tuple(groups),
                    stored["repeats"].astype(np.int64),
                    stored["folds"].astype(np.int64),
                    tuple(unpack(stored["kinds"])),
                )
        except BROKEN as error:
            raise DataError(
                f"{path}: cannot be read as out-of-fold answers ({error}); train "
                "again with --folds"
            ) from error

    def write_table(self, path: Path) -> None:
        """Write a CSV table for people: a row per image and repeat."""
        classes = self.predictions.classes
        header = (
            *("path", "label", "predicted", "confidence", "group", "repeat", "fold"),
            *("handed_over", *(f"prob:{name}" for name in classes)),
        )
        write_csv(path, header, self._lines())

    def _lines(self) -> Iterable[tuple[object, ...]]:
        found = self.predictions
        confidence, probs = found.confidence, found.probs
        labels = found.names_of(found.targets)
        answers = found.names_of(found.predicted)
        for row, name in enumerate(found.ids):
            group = "" if self.groups[row].startswith("\0") else self.groups[row]
            yield (
                encode_name(name),
                encode_name(labels[row]),
                encode_name(answers[row]),
                f"{confidence[row]:.6f}",
                encode_name(group),
                int(self.repeats[row]),
                int(self.folds[row]),
                self.kinds[row],
                *(f"{value:.6f}" for value in probs[row]),
            )


@dataclass(frozen=True)
class FoldScores:
    """What the out-of-fold answers say of the trainings.

    Attributes:
        metrics: of each repeat, its folds pooled.
        by_fold: the score of each training, repeat by repeat; ``score`` names it.
        score: ``balanced_accuracy``, or ``macro_ap`` with several labels.
    """

    metrics: tuple[AnyMetrics, ...]
    by_fold: tuple[tuple[float | None, ...], ...]
    score: str

    def overall(self, name: str) -> Estimate:
        """Return a number of all repeats, such as ``macro_f1`` or ``recall:Rust``."""
        return over_repeats([metrics.find(name) for metrics in self.metrics])

    @property
    def fold_mean(self) -> tuple[float, float, int] | None:
        """Return mean and standard deviation over trainings, and their number."""
        known = [value for line in self.by_fold for value in line if value is not None]
        if len(known) < 2:
            return None
        return float(np.mean(known)), float(np.std(known, ddof=1)), len(known)


def fold_scores(found: OutOfFold, *, seed: int = 0) -> FoldScores:
    """Measure pooled folds, repeat by repeat, and each training alone.

    Args:
        found: the answers.
        seed: of the bootstrap.
    """
    several = found.predictions.several

    def measured(part: OutOfFold, draws: int) -> AnyMetrics:
        options: dict[str, Any] = {"groups": part.groups, "draws": draws, "seed": seed}
        return (measure_labels if several else measure)(part.predictions, **options)

    score = "macro_ap" if several else "balanced_accuracy"
    metrics, by_fold = [], []
    for repeat in np.unique(found.repeats).tolist():
        rows = np.flatnonzero(found.repeats == repeat)
        metrics.append(measured(found.take(rows), 2000))
        line = []
        for fold in np.unique(found.folds[rows]).tolist():
            part = found.take(rows[found.folds[rows] == fold])
            line.append(measured(part, 1).find(score).value)
        by_fold.append(tuple(line))
    return FoldScores(tuple(metrics), tuple(by_fold), score)


def over_repeats(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of a number over repeats, with the mean of the intervals.

    More repeats tell more of the luck of a training, but show no further image: the
    interval stays as wide as that of one repeat.
    """
    known = [e for e in estimates if e.value is not None]
    if not known:
        return Estimate(None)
    boxes = [e.interval for e in known if e.interval is not None]
    box = None
    if boxes:
        low, high = np.mean(boxes, axis=0).tolist()
        box = Interval(low, high)
    return Estimate(float(np.mean([e.value for e in known])), box, whole=known[0].whole)
