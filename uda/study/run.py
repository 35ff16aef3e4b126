"""Run a study: its splits, then every cell that is not finished, side by side."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from uda.data.folds import fold_notes
from uda.data.labelfile import labels_of_split
from uda.data.records import Catalog, scan
from uda.data.splits import Split
from uda.errors import TrainingError, UsageError
from uda.files import folder_lock, output_folder
from uda.study.cells import Cell, all_cells, fold_file, own_split_file
from uda.study.plan import check_plan, coarse_labels, configuration
from uda.study.request import Planned, Request, open_study
from uda.study.shares import thin
from uda.study.worker import Task, run_cell, start_worker
from uda.training.dealing import fine_folds, refuse_too_few, without_coarse

# Called with (cells finished, all cells, the row that came last or None).
OnCell = Callable[[int, int, dict[str, Any] | None], None]


def run_study(
    folder: Path,
    request: Request,
    plan: Sequence[Planned],
    *,
    jobs: int = 1,
    on_cell: OnCell,
    note: Callable[[str], None],
) -> None:
    """Run what is missing of a study.

    Args:
        folder: the study's; made, or continued.
        request: what all cells share.
        plan: the strategies, checked here before anything is trained.
        jobs: processes; 1 works in this one.
        on_cell: told after each cell.
        note: told what is worth knowing beforehand.

    Raises:
        UsageError: a strategy that cannot be trained, or a folder of another study.
        DataError: images or split that cannot be used.
    """
    catalog, split = images_of(request)
    check_plan(plan, request, catalog, split)
    coarse = coarse_labels(plan, request, catalog, split)
    fine = without_coarse(split, coarse)
    for text in fold_notes(fine, num_folds=request.folds):
        note(text)
    folds = _dealt(folder, request, plan, split, coarse)
    for planned in plan:
        _check_folds(planned, request, folds, coarse)
    with folder_lock(folder):
        open_study(folder, request, plan)
        output_folder(folder)
        _write_splits(folder, split, folds)
        note(_sizes(folder, request, plan))
        tasks = tasks_of(folder, request, plan)
        left = [task for task in tasks if task.cell.row(folder) is None]
        done = len(tasks) - len(left)
        on_cell(done, len(tasks), None)
        for row in _results(left, jobs):
            done += 1
            on_cell(done, len(tasks), row)


def training_part(path: Path) -> Split:
    """Read a split without its test rows: no study sees them."""
    rows = tuple(row for row in Split.load(path).rows if row.part != "test")
    return Split(rows)


def own_split(folder: Path, request: Request) -> Split:
    """Return the split that a study rests on, without its test part.

    It is the study's own copy: what was measured can be read when the user's file is
    another one by now, or gone.

    Raises:
        UsageError: there is no copy, and the user's file is another one.
    """
    path = own_split_file(folder)
    return Split.load(path) if path.is_file() else training_part(request.split_file())


def images_of(request: Request) -> tuple[Catalog, Split]:
    """Scan a study's images; labels may be in the split file alone.

    Returns:
        The images, and the split without its test part. It knows every file's content,
        so that equal files are dealt into one fold.

    Raises:
        UsageError: the split does not fit the images.
        DataError: labelled or validation images have changed since it was written.
    """
    split = training_part(request.split_file())
    catalog = scan(
        Path(request.data), unlabeled=[Path(folder) for folder in request.unlabeled]
    )
    catalog, _ = labels_of_split(split, catalog)
    split, problems = split.as_found(catalog, request.split)
    if problems:
        raise UsageError(
            f"{request.split}: does not fit the images: {'; '.join(problems[:3])}"
        )
    return catalog, split


# Splits by repeat, fold and the share of the labels that is left in them.
Folds = dict[tuple[int, int, float], Split]


def _dealt(
    folder: Path,
    request: Request,
    plan: Sequence[Planned],
    split: Split,
    coarse: Sequence[str],
) -> Folds:
    """Deal the folds of a study; those that are written already stay as they are."""
    found: Folds = {}
    shares = {1.0, *(planned.strategy.share for planned in plan)}
    for repeat in range(request.repeats):
        seed = request.seed + repeat
        inner = fine_folds(
            split, coarse, num_folds=request.folds, repeat=repeat, seed=request.seed
        )
        for fold, new in enumerate(inner):
            path = fold_file(folder, repeat, fold)
            one = Split.load(path) if path.is_file() else new
            for share in shares:
                thinned = one if share == 1 else thin(one, share, seed=seed)
                found[repeat, fold, share] = thinned
    return found


def _check_folds(
    planned: Planned, request: Request, folds: Folds, coarse: Sequence[str]
) -> None:
    strategy = planned.strategy
    if strategy.of is not None:
        return
    config = configuration(planned, request, split=Path(request.split), seed=0)
    for (repeat, fold, share), split in folds.items():
        if share != 1:
            continue  # its validation part is that of the whole
        try:
            refuse_too_few(config, split, coarse)
        except UsageError as error:
            where = f"repeat {repeat}, fold {fold}"
            raise UsageError(f"strategy {strategy.name!r}, {where}: {error}") from error


def _write_splits(folder: Path, split: Split, folds: Folds) -> None:
    """Write the split, and those of the folds, where they are not there yet."""
    if not own_split_file(folder).is_file():
        split.save(own_split_file(folder))
    for (repeat, fold, share), one in folds.items():
        path = fold_file(folder, repeat, fold, share)
        if not path.is_file():
            one.save(path)


def _sizes(folder: Path, request: Request, plan: Sequence[Planned]) -> str:
    """Say on how many labelled images the cells train, with all labels and fewer."""
    told = []
    for share in sorted({1.0, *(p.strategy.share for p in plan)}, reverse=True):
        splits = [
            Split.load(fold_file(folder, repeat, fold, share))
            for repeat in range(request.repeats)
            for fold in range(request.folds)
        ]
        counts = [_between([len(split.part(part)) for split in splits])
                  for part in ("labeled", "validation", "test")]  # fmt: skip
        of = "" if share == 1 else f" with {100 * share:g}% of the labels"
        told.append(
            f"a cell{of} trains on {counts[0]} labelled images, has {counts[1]} for "
            f"validation and is asked for {counts[2]}"
        )
    return "; ".join(told)


def _between(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def tasks_of(folder: Path, request: Request, plan: Sequence[Planned]) -> list[Task]:
    """Return every cell's task, in the order in which they are run."""
    by_slug = {planned.strategy.slug: planned for planned in plan}
    slug_of = {planned.strategy.name: planned.strategy.slug for planned in plan}
    tasks = []
    for cell in all_cells(request, plan):
        planned = by_slug[cell.slug]
        of = planned.strategy.of
        source = cell if of is None else Cell(slug_of[of], cell.repeat, cell.fold)
        tasks.append(Task(folder, cell, planned, source, request))
    return tasks


def _results(tasks: Sequence[Task], jobs: int) -> Iterator[dict[str, Any]]:
    """Run tasks; yield rows as they come."""
    if jobs == 1:
        yield from map(run_cell, tasks)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=start_worker, initargs=(os.getpid(),)
    )
    try:
        yield from _side_by_side(pool, tasks, jobs)
    except BrokenProcessPool as error:
        raise TrainingError(
            "a worker process was ended from outside (out of memory?); the same "
            "command goes on where it was; try fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # Idle by now, or the study was interrupted: their files are whole.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()


def _side_by_side(
    pool: ProcessPoolExecutor, tasks: Sequence[Task], jobs: int
) -> Iterator[dict[str, Any]]:
    """Keep the workers busy; a cell waits for the one whose model it asks."""
    waiting, finished = list(tasks), set[Cell]()
    asked = {task.cell for task in tasks}
    running: dict[Future[dict[str, Any]], Cell] = {}
    while waiting or running:
        for task in list(waiting):
            ready = task.trained_by == task.cell or (
                task.trained_by in finished or task.trained_by not in asked
            )
            if ready and len(running) < jobs:
                running[pool.submit(run_cell, task)] = task.cell
                waiting.remove(task)
        over, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in over:
            finished.add(running.pop(future))
            yield future.result()
