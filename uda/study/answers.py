"""Out-of-fold answers of a study's finished cells, pooled by repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.splits import Split
from uda.errors import DataError
from uda.evaluation.paired import Asked
from uda.evaluation.predict import Predictions
from uda.study.cells import Cell, fold_file
from uda.study.request import Planned, Request
from uda.study.strategies import Strategy

Ints = npt.NDArray[np.int64]
Fold = tuple[int, int]  # (repeat, fold)


@dataclass(frozen=True)
class Told:
    """What one strategy's finished cells say.

    Attributes:
        predictions: by (repeat, fold), the answers to what the fold held out.
        errors: (repeat, fold) -> why the cell has none.
        seconds: of the cells that have answers.
        labels: by (repeat, fold), how many labelled images that cell trained on.
    """

    predictions: dict[Fold, Predictions]
    errors: dict[Fold, str]
    seconds: list[float]
    labels: dict[Fold, int]


@dataclass(frozen=True)
class Answers:
    """The answers of all strategies of a study.

    Attributes:
        classes: (C,) names.
        counts: (C,) labelled images (with validation) of each class; 0 where no fold
            holds any out.
        groups: (C,) groups of these.
        group_of: path -> group.
        told: strategy name -> what its cells say, in the order of the strategies.
        num_folds: of each repeat.
        num_repeats: of the folds.
        unread: paths of held-out images that some strategy could not read; no
            strategy's answers have them.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    groups: tuple[int, ...]
    group_of: dict[str, str]
    told: dict[str, Told]
    num_folds: int
    num_repeats: int
    unread: tuple[str, ...] = ()

    @property
    def rarest(self) -> int:
        """Return the class with the fewest groups, then images, that is asked about."""
        asked = [c for c in range(len(self.classes)) if self.counts[c]]
        return min(asked, key=lambda c: (self.groups[c], self.counts[c]))

    def asked(self, folds: Sequence[Fold], good_class: str | None) -> Asked:
        """Return the images that some folds hold out, in their order."""
        some = next(t for t in self.told.values() if set(folds) <= set(t.predictions))
        found = [some.predictions[fold] for fold in folds]
        ids = [path for entry in found for path in entry.ids]
        sizes = [len(entry.ids) for entry in found]
        repeats = np.repeat([repeat for repeat, _ in folds], sizes)
        return Asked(
            targets=np.concatenate([entry.targets for entry in found]),
            groups=np.array([self.group_of[path] for path in ids]),
            repeats=repeats.astype(np.int64),
            rarest={repeat: self.rarest for repeat, _ in folds},
            num_classes=len(self.classes),
            good=None if good_class is None else self.classes.index(good_class),
        )

    def predicted(self, name: str, folds: Sequence[Fold]) -> Ints:
        """Return (N,) a strategy's answers to the images of `asked`."""
        found = self.told[name].predictions
        return np.concatenate([found[fold].predicted for fold in folds])

    def labels(self, name: str, folds: Sequence[Fold]) -> float:
        """Return how many labelled images a strategy trained on, mean over folds."""
        return float(np.mean([self.told[name].labels[fold] for fold in folds]))

    def tested_to_trained(self, names: Sequence[str], folds: Sequence[Fold]) -> float:
        """Return held-out images per labelled image of the trainings of some folds.

        Where the trainings of a fold differ in labels, the fewest count.
        """
        told = [self.told[name] for name in names]
        tested = sum(len(told[0].predictions[fold].ids) for fold in folds)
        trained = sum(min(one.labels[fold] for one in told) for fold in folds)
        return tested / trained

    def shared(self, *names: str) -> list[Fold]:
        """Return the folds that all of some strategies have answers for."""
        sets = [set(self.told[name].predictions) for name in names]
        return sorted(set.intersection(*sets))


def read_answers(
    study: Path, request: Request, plan: Sequence[Planned], split: Split
) -> Answers:
    """Read every finished cell.

    Args:
        study: the study's folder.
        request: of the study.
        plan: the strategies.
        split: the user's, without its test part.

    Raises:
        DataError: answers that are damaged, or about other images than the folds'.
    """
    held = {
        (repeat, fold): Split.load(fold_file(study, repeat, fold)).part("test")
        for repeat in range(request.repeats)
        for fold in range(request.folds)
    }
    asked = {row.path for rows in held.values() for row in rows}
    labeled = [
        row
        for row in (*split.part("labeled"), *split.part("validation"))
        if row.path in asked
    ]
    images = Counter(row.label or "" for row in labeled)
    classes = _classes(study, plan, held) or tuple(sorted(images))
    group_of = {row.path: row.unit for row in labeled}
    groups = {
        name: len({group_of[row.path] for row in labeled if row.label == name})
        for name in classes
    }
    paths = {fold: [row.path for row in rows] for fold, rows in held.items()}
    told = {p.strategy.name: _read(study, p.strategy, paths, classes) for p in plan}
    unread = _keep_common(told.values(), paths)
    return Answers(
        classes,
        tuple(images[name] for name in classes),
        tuple(groups[name] for name in classes),
        group_of,
        told,
        request.folds,
        request.repeats,
        unread,
    )


def _classes(
    study: Path, plan: Sequence[Planned], held: Collection[Fold]
) -> tuple[str, ...]:
    """Return the classes that a finished cell knows; none before there is one.

    The split does not say: of its labels that no fold holds out, one may be a class
    of a single group, another the name of several classes.
    """
    for planned in plan:
        for repeat, fold in held:
            file = Cell(planned.strategy.slug, repeat, fold).predictions_file(study)
            if file.is_file():
                return Predictions.load(file).classes
    return ()


def _read(
    study: Path,
    strategy: Strategy,
    held: dict[Fold, list[str]],
    classes: tuple[str, ...],
) -> Told:
    told = Told({}, {}, [], {})
    for (repeat, fold), paths in held.items():
        cell = Cell(strategy.slug, repeat, fold)
        row: dict[str, Any] | None = cell.row(study)
        if row is None:
            continue
        if row.get("error"):
            told.errors[repeat, fold] = str(row["error"])
            continue
        found = Predictions.load(cell.predictions_file(study))
        asked = set(found.ids)
        if found.classes != classes or found.ids != [p for p in paths if p in asked]:
            raise DataError(
                f"{cell.folder(study)}: its answers are not about what the fold holds "
                "out; delete that folder, and run the same command again"
            )
        told.predictions[repeat, fold] = found
        told.seconds.append(float(row["seconds"]))
        inner = Split.load(fold_file(study, repeat, fold, strategy.share))
        told.labels[repeat, fold] = len(inner.part("labeled"))
    return told


def _keep_common(
    told: Collection[Told], held: Mapping[Fold, Sequence[str]]
) -> tuple[str, ...]:
    """Leave in the answers what every strategy of a fold could read.

    Returns:
        The paths that are left out, for all folds.
    """
    unread: set[str] = set()
    for fold, paths in held.items():
        found = [t.predictions for t in told if fold in t.predictions]
        common = set(paths).intersection(*(entry[fold].ids for entry in found))
        unread |= set(paths) - common
        for entry in found:
            entry[fold] = _only(entry[fold], common)
    return tuple(sorted(unread))


def _only(found: Predictions, paths: set[str]) -> Predictions:
    rows = [row for row, path in enumerate(found.ids) if path in paths]
    if len(rows) == len(found.ids):
        return found
    return replace(
        found,
        ids=[found.ids[row] for row in rows],
        targets=found.targets[rows],
        log_probs=found.log_probs[rows],
    )
