"""Runs the comparisons of docs/results.md through the CLI, and writes its tables.

Every run is a folder below runs/results; a finished one is not run again, and one on
folds is not either where docs/results_*.csv has its answers. The suite `main` reads
the data's own test part, once per arm. `claim`, `ladder` and `family` use grouped folds
of the training part and pool what each fold held out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import _fold_tables
import _folds
import _main_suite
from _arms import DRAWS, SUITES, possible
from _common import PROJECT


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--suite", nargs="+", default=["main"], choices=["main", *SUITES]
    )
    parser.add_argument("--data", nargs="+", help="data sets; all of the suite's")
    parser.add_argument("--seeds", nargs="+", type=int, help="main: 0 1 2, others: 0")
    parser.add_argument("--arms", nargs="+", help="arms by name; all of the suite's")
    parser.add_argument("--folds", nargs="+", type=int, help="of 0 1 2; all of them")
    parser.add_argument(
        "--rotate", action="store_true", help="one fold per seed, each its own"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--budget", default="8m", help="time of a run on folds")
    length.add_argument("--steps", type=int, help="steps of a run on folds, instead")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tables", action="store_true", help="only write the tables")
    parser.add_argument(
        "--work", type=Path, default=PROJECT / "runs" / "results", help="run folders"
    )
    parser.add_argument("extra", nargs="*", help="flags of `uda train` for networks")
    return parser


def folder(chosen: argparse.Namespace) -> Path:
    """Return where the runs on folds are."""
    return chosen.work / f"{_folds.NUM_FOLDS}-folds"


def run_folds(chosen: argparse.Namespace, name: str, data: Path) -> list[str]:
    """Run one suite on folds; return what failed."""
    length = _folds.Length("--budget", chosen.budget)
    if chosen.steps is not None:
        length = _folds.Length("--steps", str(chosen.steps))
    seeds, failed = chosen.seeds or [0], []
    folds = list(range(_folds.NUM_FOLDS)) if chosen.folds is None else chosen.folds
    arms = [
        arm for arm in SUITES[name].arms if chosen.arms is None or arm in chosen.arms
    ]
    work = folder(chosen)
    for draw in chosen.data or list(DRAWS):
        _folds.write_splits(data, work, draw, seeds)
        cells = _folds.all_cells(
            draw, length, seeds, folds, possible(draw, arms), rotate=chosen.rotate
        )
        failed += _folds.run_all(
            data, work, cells, length, jobs=chosen.jobs, extra=chosen.extra
        )
    return failed


def main(words: list[str] | None = None) -> None:
    parser = arguments()
    chosen = parser.parse_args(words)
    named = os.environ.get("UDA_DATA")
    if named is None and not chosen.tables:
        parser.error("set UDA_DATA to the folder that holds neu/")
    data = None if named is None else Path(named)
    failed: list[str] = []
    for name in chosen.suite:
        if name == "main":
            _main_suite.main(chosen, None if chosen.tables else data)
            continue
        if not chosen.extra:  # those in docs/ have no further flags
            _fold_tables.restore(folder(chosen))
        if not chosen.tables and data is not None:
            failed += run_folds(chosen, name, data)
        _fold_tables.write_suite(name, data, folder(chosen))
    if failed:
        raise SystemExit("\n".join(["not run:", *failed]))


if __name__ == "__main__":
    main()
