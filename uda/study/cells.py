"""Cells of a study: one strategy on one fold of one repeat, and what it left behind.

A cell is finished when its row.json is there; it is written last, as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uda.files import read_json
from uda.study.request import Planned, Request


@dataclass(frozen=True)
class Cell:
    """One strategy, by its folder name, on one fold of one repeat."""

    slug: str
    repeat: int
    fold: int

    def folder(self, study: Path) -> Path:
        """Return the cell's folder."""
        return study / "cells" / self.slug / f"r{self.repeat}-f{self.fold}"

    def row_file(self, study: Path) -> Path:
        """Return the file that says the cell is finished."""
        return self.folder(study) / "row.json"

    def predictions_file(self, study: Path) -> Path:
        """Return the file of its answers to what the fold held out."""
        return self.folder(study) / "predictions.npz"

    def row(self, study: Path) -> dict[str, Any] | None:
        """Return what the finished cell says of itself; None before."""
        path = self.row_file(study)
        row: dict[str, Any] | None = read_json(path) if path.is_file() else None
        return row


def fold_file(study: Path, repeat: int, fold: int, share: float = 1.0) -> Path:
    """Return the split of one fold; its test part is what the fold holds out.

    With a share below 1 only that much of the labels is left in it.
    """
    thinned = "" if share == 1 else f"-share{share:g}"
    return study / "splits" / f"r{repeat}-f{fold}{thinned}.csv"


def own_split_file(study: Path) -> Path:
    """Return the study's copy of the split that it rests on, without the test part."""
    return study / "splits" / "split.csv"


def all_cells(request: Request, plan: Iterable[Planned]) -> Iterator[Cell]:
    """Return every cell, whole folds first: half a study is then one of fewer folds.

    A strategy that asks another one's models comes after it.
    """
    ordered = sorted(plan, key=lambda planned: planned.strategy.of is not None)
    for repeat in range(request.repeats):
        for fold in range(request.folds):
            for planned in ordered:
                yield Cell(planned.strategy.slug, repeat, fold)
