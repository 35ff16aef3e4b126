"""What commands say on standard error about the run that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uda.run.layout import RunFolder


def say_run(asked: Path, folder: RunFolder) -> None:
    """Say which run answers, where that is not plain, and if it is unfinished."""
    if folder.path.resolve() != Path(asked).resolve():
        click.echo(f"Note: the run that answers is {folder.path}", err=True)
    warn_unfinished(folder)


def warn_unfinished(folder: RunFolder) -> None:
    """Say when a run's weights are not its final ones."""
    words = folder.unfinished()
    if words is not None:
        click.echo(f"Note: {words}", err=True)
