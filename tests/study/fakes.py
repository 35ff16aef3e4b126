"""A study without trainings: folds on disk and answers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from uda.data.splits import Split, SplitRow
from uda.evaluation.predict import Predictions
from uda.files import write_json
from uda.study.answers import Answers, read_answers
from uda.study.cells import Cell, fold_file
from uda.study.request import Planned, Request, open_study
from uda.study.shares import thin
from uda.study.strategies import Strategy

CLASSES = ("Good", "Rust", "Scratch")
# (targets (n,), generator) -> (n,) answers
Guess = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def right(share: float) -> Guess:
    """Answer rightly about this share of the images, else any class."""

    def guess(targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
        sure = random.random(targets.size) < share
        return np.where(sure, targets, random.integers(0, 3, targets.size))

    return guess


class FakeStudy:
    """Three classes, three images a group; three folds."""

    def __init__(
        self,
        folder: Path,
        folds: int = 3,
        repeats: int = 2,
        *,
        images: tuple[int, int, int] = (24, 12, 9),
    ) -> None:
        self.folder = folder
        counts = dict(zip(CLASSES, images, strict=True))
        self.rows = [
            SplitRow(f"{name}{i}.png", "labeled", name, f"{name}-{i // 3}", "")
            for name, count in counts.items()
            for i in range(count)
        ]
        tests = [SplitRow("t.png", "test", "Good", "t", "")]
        folder.mkdir()
        Split((*self.rows, *tests)).save(folder.parent / "split.csv")
        self.split = Split(tuple(self.rows))
        self.request = Request.of(
            folder.parent, folder.parent / "split.csv", folds=folds, repeats=repeats,
            steps=9, budget=None, seed=0,
        )  # fmt: skip
        self.plan: list[Planned] = []
        open_study(folder, self.request, self.plan)
        for repeat in range(repeats):
            for fold in range(folds):
                self._fold(repeat, fold)

    def _fold(self, repeat: int, fold: int) -> None:
        folds = self.request.folds
        rows = tuple(
            SplitRow(
                row.path,
                "test" if self._fold_of(row, repeat) == fold % folds else "labeled",
                row.label,
                row.group,
                "",
            )
            for row in self.rows
        )
        Split(tuple(sorted(rows, key=lambda r: (r.part, r.path)))).save(
            fold_file(self.folder, repeat, fold)
        )

    def _fold_of(self, row: SplitRow, repeat: int) -> int:
        number = int((row.group or "").rpartition("-")[2])
        return (number * (1 + repeat) + repeat) % self.request.folds

    def add(
        self, name: str, guess: Guess, *, seed: int = 0, lacking=(), share: float = 1.0
    ) -> None:
        """Add a strategy with its answers, but for the (repeat, fold) lacking."""
        self.plan.append(Planned(Strategy(name, ("--some", name), share=share), {}))
        open_study(self.folder, self.request, self.plan)
        random = np.random.default_rng(seed)
        for repeat in range(self.request.repeats):
            for fold in range(self.request.folds):
                self._thin(repeat, fold, share)
                cell = Cell(self.plan[-1].strategy.slug, repeat, fold)
                row = {**vars(cell), "seconds": 2.0}
                if (repeat, fold) in lacking:
                    row["error"] = "TrainingError: NaN"
                else:
                    self._answer(cell, guess, random)
                write_json(cell.row_file(self.folder), row)

    def _thin(self, repeat: int, fold: int, share: float) -> None:
        path = fold_file(self.folder, repeat, fold, share)
        if not path.is_file():
            whole = Split.load(fold_file(self.folder, repeat, fold))
            thin(whole, share, seed=repeat).save(path)

    def _answer(self, cell: Cell, guess: Guess, random: np.random.Generator) -> None:
        rows = Split.load(fold_file(self.folder, cell.repeat, cell.fold)).part("test")
        targets = np.array([CLASSES.index(row.label or "") for row in rows])
        log_probs = np.full((len(rows), 3), -5.0, np.float32)
        log_probs[np.arange(len(rows)), guess(targets, random)] = -0.01
        path = cell.predictions_file(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        Predictions([r.path for r in rows], targets, log_probs, CLASSES).save(path)

    def answers(self) -> Answers:
        return read_answers(self.folder, self.request, self.plan, self.split)
