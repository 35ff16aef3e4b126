"""One cell from its strategy to its answers; what a worker process does all day.

Imports nothing heavy by itself: a worker sets its threads before numpy is loaded.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uda.run.layout import RunFolder
    from uda.study.cells import Cell
    from uda.study.request import Planned, Request
    from uda.training.config import RunConfig

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_HEARTBEAT = 0.5  # seconds


@dataclass(frozen=True)
class Task:
    """What a worker needs to know of a cell.

    Attributes:
        study: the study's folder.
        cell: which one.
        planned: its strategy.
        trained_by: the cell whose model it asks; itself where it trains one.
        request: of the study.
    """

    study: Path
    cell: Cell
    planned: Planned
    trained_by: Cell
    request: Request


def start_worker(parent: int) -> None:
    """Keep a new process to one thread, before libraries count the cores.

    Args:
        parent: process id of the study; without it the worker ends.
    """
    # Ctrl-C is the parent's to handle: it ends its workers, and files are whole.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _THREADS:
        os.environ[name] = "1"
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    # An orphan would train on, in the way of the study that continues this one.
    while os.getppid() == parent:
        time.sleep(_HEARTBEAT)
    os._exit(1)


def run_cell(task: Task) -> dict[str, Any]:
    """Train (or ask) and write the cell's predictions and row.

    A cell that cannot be finished is a row with its ``error``: the study goes on. A
    disk that is full or a folder that cannot be written ends the study.

    Returns:
        The row.
    """
    from uda.files import atomic_write, write_json

    folder = task.cell.folder(task.study)
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    try:
        facts = _train(task) if task.trained_by == task.cell else {}
        facts |= _answer(task)
    except OSError:
        raise
    except Exception as error:  # of any kind: one strategy must not cost the others
        atomic_write(folder / "error.txt", traceback.format_exc())
        facts = {"error": f"{type(error).__name__}: {error}"}
    seconds = round(time.monotonic() - begin, 1)
    row = {**vars(task.cell), "seconds": seconds, **facts}
    write_json(task.cell.row_file(task.study), row)
    return row


def _train(task: Task) -> dict[str, Any]:
    """Train the cell's run, or what is left of it; return facts for its row."""
    from uda.study.cells import fold_file
    from uda.study.plan import configuration, length_of
    from uda.training.launch import launch, resume
    from uda.training.monitor.progress import PlainProgress
    from uda.training.stop import StopRequest

    cell = task.cell
    seed = task.request.seed + cell.repeat
    share = task.planned.strategy.share
    split = fold_file(task.study, cell.repeat, cell.fold, share)
    config = configuration(task.planned, task.request, split=split, seed=seed)
    run = run_of(task.study, cell)
    state = run.read_status().get("state")
    with (cell.folder(task.study) / "log.txt").open("a", encoding="utf-8") as log:
        options: dict[str, Any] = {
            "console": PlainProgress(stream=log, results=log),
            "stop": StopRequest(),
        }
        if state != "done" and _can_resume(run, config):
            resume(run.path, workers=None, **options)
        elif state != "done":
            shutil.rmtree(run.path, ignore_errors=True)
            launch(
                config, length_of(task.request, config), project=run.path.parent,
                name=run.path.name, **options,
            )  # fmt: skip
    # A finished run is never resumed; its checkpoints are most of its size.
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return {"steps": run.read_status().get("steps", 0)}


def run_of(study: Path, cell: Cell) -> RunFolder:
    """Return the run that a cell trains."""
    from uda.run.layout import RunFolder

    return RunFolder(cell.folder(study) / "run")


def _can_resume(run: RunFolder, config: RunConfig) -> bool:
    """Tell whether a killed run has a checkpoint to go on from."""
    from uda.training.state import checkpoint_paths

    return (
        config.method != "texture"
        and run.config.is_file()
        and bool(checkpoint_paths(run.checkpoints))
    )


def _answer(task: Task) -> dict[str, Any]:
    """Ask the trained model for what the fold held out; return facts."""
    from dataclasses import replace

    from uda.errors import TrainingError
    from uda.evaluation.rates import confusion_matrix, rates
    from uda.evaluation.tta import NONE, tta_of
    from uda.run.bundle import load_bundle
    from uda.study.afterwards import ask, fit_bias

    trained = task.trained_by.row(task.study)
    if trained is not None and trained.get("error"):
        raise TrainingError(f"its model was not trained ({trained['error']})")
    bundle = load_bundle(run_of(task.study, task.trained_by).path)
    strategy = task.planned.strategy
    tta = tta_of(strategy.tta or NONE, bundle)
    found = ask(bundle, "test", tta).predictions["ema"]
    if strategy.tune is not None:
        found = replace(found, rule=fit_bias(bundle, tta, seed=task.request.seed).rule)
    found.save(task.cell.predictions_file(task.study))
    counts = confusion_matrix(found.targets, found.predicted, len(found.classes))
    rate = rates(counts)
    return {name: float(rate[name]) for name in ("balanced_accuracy", "macro_f1")} | {
        "images": len(found.ids)
    }
