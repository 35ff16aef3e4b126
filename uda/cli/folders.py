"""Folders of results: refused before the work, made after it."""

from __future__ import annotations

from pathlib import Path

from uda.errors import UsageError
from uda.files import check_writable, numbered_folder, output_folder, writing

RUNS = Path("runs")


def check_folder(out: Path | None, name: str) -> None:
    """Refuse a folder that holds something or takes nothing, before minutes are spent.

    Args:
        out: as given; ``runs/NAME`` when None.
        name: of the folder among the runs.

    Raises:
        UsageError: it holds something.
        DataError: nothing can be written there.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out}: exists and is not empty; name a new folder")
    check_writable(RUNS / name if out is None else out / "file")


def new_folder(out: Path | None, name: str) -> Path:
    """Make the folder: ``out``, or ``runs/NAME``, ``runs/NAME2`` and so on."""
    with writing(out or RUNS):
        return numbered_folder(RUNS, name) if out is None else output_folder(out)
