"""``uda resume RUN``: continue an interrupted run, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uda.training.summary import Summary


@click.command(name="resume")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes for Python policies; the result does not depend on it.",
)
@click.option("-q", "--quiet", is_flag=True, help="Warnings and the result alone.")
def command(run: Path, workers: int | None, quiet: bool) -> Summary:
    """Continue an interrupted run from its newest valid checkpoint.

    Nothing but --workers may change; the result equals the uninterrupted run's. RUN
    may be a folder of generations too, or a run with --folds.
    """
    from uda.training.stop import StopRequest

    stop = StopRequest().install()
    from uda.training.folds import find_folded, resume_folds
    from uda.training.generations import is_study, resume_generations
    from uda.training.launch import resume
    from uda.training.monitor.progress import make_progress

    console = make_progress(quiet=quiet)
    folded = find_folded(run)
    if folded is not None:
        from uda.reporting.folds import fold_lines

        summary = resume_folds(
            folded, workers=workers, console=console, stop=stop, tell=fold_lines
        )
    else:
        again = resume_generations if is_study(run) else resume
        summary = again(run, workers=workers, console=console, stop=stop)
    if summary.state == "interrupted":
        raise SystemExit(stop.exit_code)
    return summary
