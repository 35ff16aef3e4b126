"""Cross-validation as part of a run: ``uda train --folds K --repeats R``.

The labelled images are dealt into folds (``data.folds``), a training for each fold
answers for what it did not see, and then the run itself trains on all of them. The
answers stay in the run. The test part is in none of this.

The fold trainings are runs below RUN/folds. What is to be done next is read off these
folders, so a killed run goes on where it was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from uda.data.records import Catalog
from uda.data.splitfile import Split
from uda.data.table import listing
from uda.errors import UsageError
from uda.evaluation.evaluate import answer
from uda.evaluation.out_of_fold import HeldOut, OutOfFold
from uda.evaluation.parts import split_part
from uda.evaluation.predict import Predictions
from uda.files import atomic_write, folder_lock, read_json, write_json
from uda.run.bundle import load_bundle
from uda.run.layout import RunFolder, check_name
from uda.training.build import training_device
from uda.training.config import RunConfig
from uda.training.dealing import Dealing, check_deal, deal
from uda.training.lasting import lasting
from uda.training.launch import (
    begin,
    check_request,
    go_on,
    refuse_early,
    say_notes,
    start_run,
    try_out,
    with_workers,
)
from uda.training.length import Length
from uda.training.monitor.progress import Progress, format_seconds
from uda.training.settled import recorded
from uda.training.split import find_split, scan_split
from uda.training.stop import StopRequest
from uda.training.summary import Summary, done_words, next_words

STUDY = "folds.json"
BASE = "base.yaml"
Tell = Callable[[OutOfFold], list[str]]


def launch_folds(
    config: RunConfig,
    length: Length,
    *,
    dealing: Dealing,
    project: Path,
    name: str,
    console: Progress,
    stop: StopRequest,
    tell: Tell,
    dry_run: bool = False,
) -> Summary:
    """Start a run with fold trainings and train it to its end.

    Args:
        config: of every training.
        length: of every training, but a budget is that of all together.
        dealing: how many folds and repeats.
        project: folder of run folders.
        name: of the run.
        console: what is told.
        stop: asked between steps.
        tell: makes lines of the out-of-fold answers, for the end.
        dry_run: only try, and say how long it all takes.

    Raises:
        UsageError: a setting that this does not combine with.
        DataError: the labelled images cannot be dealt so.
    """
    check_request(config, length, console)
    check_name(name)
    if config.data.pseudo_labels is not None:
        raise UsageError(
            "--folds: the run that made these pseudo-labels saw the labels of every "
            "fold, so no answer would be out of fold; leave them out"
        )
    catalog, split, notes = find_split(config)
    refuse_early(config, catalog, split)
    told = [] if dry_run else notes  # which tells them itself
    dealt = check_deal(config, catalog, split, dealing)
    say_notes(told, console)
    for note in dealt:
        console.warn(note)
    if length.budget is not None:
        length = replace(length, budget=length.budget / dealing.trainings)
    if dry_run:
        return try_out(config, length, console, stop, trainings=dealing.trainings)
    run = start_run(project, name, console)
    split.save(run.split)
    base = lasting(config)
    run.folds.mkdir()
    base = base.changed({"data.split": str(run.split.resolve())})
    atomic_write(run.folds / BASE, base.to_yaml())
    write_json(run.folds / STUDY, {**asdict(dealing), "length": asdict(length)})
    return _Study(run, catalog, split, console, stop).train(tell)


def find_folded(path: Path) -> RunFolder | None:
    """Return the run with folds at a path, or the latest in it; None without."""
    for place in (Path(path), Path(path) / "latest"):
        if (place / "folds" / STUDY).is_file():
            return RunFolder(place.resolve())
    return None


def resume_folds(
    run: RunFolder,
    *,
    workers: int | None,
    console: Progress,
    stop: StopRequest,
    tell: Tell,
) -> Summary:
    """Continue a run with folds at the training and step where it was.

    Raises:
        UsageError: it has finished, or images have changed since it began.
    """
    if run.read_status().get("state") == "done":
        raise UsageError(f"{run.path}: finished already, nothing to resume")
    catalog, split, _ = scan_split(_base(run))
    problems = split.verify(catalog)
    if problems:
        raise UsageError(
            f"{run.path}: the images have changed since the run began, so it cannot "
            f"continue bit for bit: {'; '.join(problems[:5])}"
        )
    return _Study(run, catalog, split, console, stop, workers).train(tell)


def _base(run: RunFolder) -> RunConfig:
    return recorded(run.folds / BASE)


@dataclass
class _Study:
    """A run with folds, on its way."""

    run: RunFolder
    catalog: Catalog
    split: Split
    console: Progress
    stop: StopRequest
    workers: int | None = None

    def train(self, tell: Tell) -> Summary:
        """Train what is left: folds, then the run itself."""
        with folder_lock(self.run.folds):
            facts = read_json(self.run.folds / STUDY)
            dealing = Dealing(int(facts["folds"]), int(facts["repeats"]))
            summary = self._folds(dealing)
            if summary is None:
                pooled = self._pool(dealing)
                self.console.note(
                    f"training {dealing.trainings} of {dealing.trainings}: the run "
                    "itself, on all labelled images"
                )
                summary = self._one(self.run, self.split, _base(self.run))
        if summary.state == "interrupted":
            self.console.result(
                f"Stopped at step {summary.step}; continue: uda resume {self.run.path}"
            )
            return replace(summary, run=self.run.path)
        for line in tell(pooled):
            self.console.result(line)
        words = done_words(summary, self.run)
        self.console.result(f"Done.{words} Next: {next_words(self.run)}")
        return summary

    def _folds(self, dealing: Dealing) -> Summary | None:
        """Train the folds that are left; the summary of one that was interrupted."""
        base, begun, trained = _base(self.run), time.monotonic(), 0
        deals = deal(base, self.catalog, self.split, dealing)
        for number, (repeat, fold, split) in enumerate(deals, 1):
            one = fold_run(self.run, repeat, fold)
            if _held_out(one).is_file():
                continue
            if self.stop:  # texture does not look between its steps: it has none
                return Summary("interrupted", 0, {})
            left = dealing.trainings - number + 1
            self.console.note(
                f"training {number} of {dealing.trainings}: fold {fold + 1} of "
                f"{dealing.folds}, repeat {repeat + 1} of {dealing.repeats}; "
                f"{len(split.part('test'))} images held out"
                + _left_words(time.monotonic() - begun, trained, left)
            )
            # Another repeat has other luck in training as well.
            config = base.changed({"seed": base.seed + repeat})
            summary = self._one(one, split, config)
            if summary.state == "interrupted":
                return summary
            self._ask(one, config)
            trained += 1
        return None

    def _one(self, run: RunFolder, split: Split, config: RunConfig) -> Summary:
        """Train one run, or what is left of it."""
        if run.config.is_file():
            status = run.read_status()
            if status.get("state") == "done":
                return Summary("done", int(status["step"]), {}, run.path)
            return go_on(
                run, workers=self.workers, console=self.console, stop=self.stop
            )
        if run != self.run:
            # Killed before its configuration was written: nothing was trained yet.
            shutil.rmtree(run.path, ignore_errors=True)
            run.path.mkdir()
        return begin(
            with_workers(config, self.workers),
            self._length(),
            run,
            self.catalog,
            split,
            console=self.console,
            stop=self.stop,
        )

    def _length(self) -> Length:
        """Return the length of a training; a budget is timed once, for all of them."""
        length = Length(**read_json(self.run.folds / STUDY)["length"])
        first = fold_run(self.run, 0, 0)
        if length.budget is None or not first.config.is_file():
            return length
        settled = recorded(first.config)
        return Length(steps=settled.loop.steps)

    def _ask(self, run: RunFolder, config: RunConfig) -> None:
        """Let a finished fold answer for what it did not see, and keep that."""
        bundle = load_bundle(run.path)
        images = split_part(
            run,
            bundle.classes,
            "test",
            data=Path(config.data.root),
            link=bundle.link,
        )
        # A broken file was told of when the run was planned; it is in no number.
        found = answer(
            {"ema": bundle},
            images,
            device=str(training_device(config.loop.device)),
            most_bad=1.0,
            progress=self.console.stage,
        )
        if found.skipped:
            names = listing([path for path, _ in found.skipped])
            self.console.warn(f"{len(found.skipped)} images cannot be read: {names}")
        found.predictions["ema"].save(_held_out(run))

    def _pool(self, dealing: Dealing) -> OutOfFold:
        """Join the folds' answers and write them into the run."""
        rows = self.split.by_path
        parts = []
        for repeat in range(dealing.repeats):
            for fold in range(dealing.folds):
                one = fold_run(self.run, repeat, fold)
                found = Predictions.load(_held_out(one))
                groups = tuple(rows[name].unit for name in found.ids)
                kind = load_bundle(one.path).kind
                parts.append(HeldOut(found, groups, repeat, fold, kind))
        pooled = OutOfFold.pooled(parts)
        pooled.save(self.run.out_of_fold)
        pooled.write_table(self.run.out_of_fold.with_suffix(".csv"))
        return pooled


def fold_run(run: RunFolder, repeat: int, fold: int) -> RunFolder:
    """Return the run of one fold training."""
    return RunFolder(run.folds / f"r{repeat}-f{fold}")


def _held_out(run: RunFolder) -> Path:
    """Return where a fold training's answers lie; there once they are complete."""
    return run.path / "held_out.npz"


def _left_words(seconds: float, trained: int, left: int) -> str:
    if not trained:
        return ""
    return f"; about {format_seconds(seconds / trained * left)} left"
