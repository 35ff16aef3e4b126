"""The run folder: its name and number, the files in it, and its status.

A run is never overwritten: a second run of the same name gets the next number.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uda.errors import CheckpointError, UsageError
from uda.files import atomic_write, numbered_folder, read_json, write_json

STATES = ("running", "done", "interrupted", "failed")
_LISTED = 5
# Name of the averaged weights of a network that stays behind its texture teacher.
NETWORK = "network"


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run; nothing is read or written by naming them."""

    path: Path

    @property
    def config(self) -> Path:
        """The complete configuration, enough to repeat the run."""
        return self.path / "config.yaml"

    @property
    def split(self) -> Path:
        """The split file that the run used."""
        return self.path / "split.csv"

    @property
    def model(self) -> Path:
        """Classes, preprocessing and architecture, as JSON."""
        return self.path / "model.json"

    @property
    def network(self) -> Path:
        """As `model`, of the network of a run that hands over texture instead."""
        return self.path / "network.json"

    @property
    def weights(self) -> Path:
        """Folder of ``raw.safetensors`` and ``ema.safetensors``."""
        return self.path / "weights"

    @property
    def checkpoints(self) -> Path:
        """Folder of resumable checkpoints, each with a SHA-256 side file."""
        return self.path / "checkpoints"

    @property
    def status(self) -> Path:
        """State of the run: running, done, interrupted or failed."""
        return self.path / "status.json"

    @property
    def environment(self) -> Path:
        """Versions, hardware and command line of the run."""
        return self.path / "env.json"

    @property
    def policies(self) -> Path:
        """Copies of the augmentation policies that the run used."""
        return self.path / "policies"

    @property
    def pseudo_labels(self) -> Path:
        """Guessed labels that the run trained with, where it did."""
        return self.path / "pseudo_labels.csv"

    @property
    def skipped(self) -> Path:
        """Images left out of the run, with the reason."""
        return self.path / "skipped.csv"

    @property
    def thresholds(self) -> Path:
        """From which probability on a class is named; of multi-label runs alone."""
        return self.path / "thresholds.json"

    @property
    def decision(self) -> Path:
        """What is done with an answer, by ``uda tune``; absent without it."""
        return self.path / "decision.json"

    @property
    def folds(self) -> Path:
        """Folder of the fold trainings, by ``uda train --folds``; absent without."""
        return self.path / "folds"

    @property
    def metrics(self) -> Path:
        """What was measured, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def out_of_fold(self) -> Path:
        """What the fold trainings said of the images that they did not see."""
        return self.path / "out_of_fold.npz"

    def write_status(self, state: str, **facts: Any) -> None:
        """Write the run's state with facts such as ``step`` and ``reason``."""
        if state not in STATES:
            raise ValueError(f"state is one of {STATES}, not {state!r}")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        write_json(self.status, {"state": state, "time": stamp, **facts})

    def update_status(self, state: str, **facts: Any) -> None:
        """Write the state, keeping the facts that were there and are not given."""
        known = self.read_status()
        passing = {"state", "time", "reason", "resumable"}
        kept = {key: value for key, value in known.items() if key not in passing}
        self.write_status(state, **{**kept, **facts})

    def read_status(self) -> dict[str, Any]:
        """Return the content of status.json; nothing where none was written yet."""
        status: dict[str, Any] = {}
        if self.status.is_file():
            status = read_json(self.status)
        return status

    def unfinished(self) -> str | None:
        """Say in words that the run's weights are not its final ones, if so."""
        status = self.read_status()
        state = status.get("state", "unknown")
        if state == "done":
            return None
        return (
            f"the run is {state}, at {progress(status)}; these are not its final "
            "weights"
        )


def progress(status: Mapping[str, Any]) -> str:
    """Return how far a run is by its status.json, as ``step 3 of 9``.

    A run at work writes its step only now and then, so it is there or beyond.
    """
    step, steps = status.get("step", "?"), status.get("steps", "?")
    later = " or later" if status.get("state") == "running" else ""
    return f"step {step}{later} of {steps}"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl that name a step.

    A run at work, or a kill, may have left half a line at the end.
    """
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def check_name(name: str) -> None:
    """Refuse a name of a run that is no plain folder name.

    Raises:
        UsageError: says which letters are.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name in {".", "..", "latest"}:
        raise UsageError(
            f"--name {name!r}: use letters, digits, '.', '_' and '-' alone, "
            "and not 'latest'"
        )


def create_run(project: Path, name: str) -> RunFolder:
    """Make the folder ``project/name``, or ``name2``, ``name3`` when taken.

    Raises:
        UsageError: when the name is no plain folder name, or the project folder
            cannot be written.
    """
    check_name(name)
    try:
        folder = numbered_folder(project, name)
    except OSError as error:
        raise UsageError(
            f"{project}: the run folder cannot be made ({error.strerror}); "
            "choose another with --project"
        ) from error
    point_latest(folder)
    return RunFolder(folder)


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside the run lead to it (a text file where links fail)."""
    link = folder.parent / "latest"
    temporary = folder.parent / f".latest.{os.getpid()}"
    try:
        temporary.symlink_to(folder.name, target_is_directory=True)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)
        atomic_write(folder.parent / "latest.txt", folder.name + "\n")


def open_run(path: Path) -> RunFolder:
    """Return the run at ``path``; a folder of runs with ``latest`` will do.

    So will a folder of studies, whose ``latest`` is again a folder of runs.

    Raises:
        CheckpointError: when there is no run; the message says what was expected.
    """
    path = Path(path)
    for candidate in (path, path / "latest", path / "latest" / "latest"):
        if (candidate / "config.yaml").is_file():
            return RunFolder(candidate.resolve())
    pointer = path / "latest.txt"
    if pointer.is_file():
        return open_run(path / pointer.read_text(encoding="utf-8").strip())
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such folder; {_beside(path)}")
    raise CheckpointError(
        f"{path}: no run here (no config.yaml); give the folder that `uda train` "
        "printed, for example runs/train"
    )


def _beside(path: Path) -> str:
    """Name the runs beside a folder that is not there."""
    files = sorted(path.parent.glob("*/config.yaml"))
    runs = [str(file.parent) for file in files if not file.parent.is_symlink()]
    if not runs:
        return "give the folder that `uda train` printed, for example runs/train"
    more = f" and {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
    return f"beside it are the runs {', '.join(runs[:_LISTED])}{more}"
