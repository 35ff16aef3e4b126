"""What commands say on standard error about the run that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uda.data.preprocessing import Preprocessing
    from uda.run.layout import RunFolder


# What helps where a run's own folder takes no file.
ELSEWHERE = "make room, or copy the run to where you may write"


def say(note: str) -> None:
    """Say what a user may want to know, apart from the answers."""
    click.echo(f"Note: {note}", err=True)


def say_run(asked: Path, folder: RunFolder) -> None:
    """Say which run answers, where that is not plain, and if it is unfinished."""
    if folder.path.resolve() != Path(asked).resolve():
        say(f"the run that answers is {folder.path}")
    warn_unfinished(folder)


def say_depth(files: Sequence[Path], preprocessing: Preprocessing) -> None:
    """Say when files have another depth than what a model was trained on."""
    from uda.data.preprocessing import depth_note

    if (words := depth_note(files, preprocessing)) is not None:
        say(words)


def warn_unfinished(folder: RunFolder) -> None:
    """Say when a run's weights are not its final ones."""
    words = folder.unfinished()
    if words is not None:
        say(words)
