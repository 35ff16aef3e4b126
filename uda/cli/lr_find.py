"""``uda lr-find``: a learning rate for a run, before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.folders import check_folder, new_folder
from uda.cli.progress import counter
from uda.cli.train_flags import built, given_settings, settings_flags, train_flags
from uda.errors import TrainingError, UsageError
from uda.files import writing

if TYPE_CHECKING:
    from uda.training.lr_finder import RangeTest


@click.command(
    name="lr-find",
    short_help="Find a learning rate before training: a range test with a plot.",
)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@train_flags
@click.option(
    "--steps",
    type=click.IntRange(20),
    default=100,
    show_default=True,
    help="Steps from the lowest rate (1e-7) to the highest (10).",
)
@settings_flags
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New folder for the plot. Default: runs/lr-find, runs/lr-find2, …",
)
def command(
    data: Path | None,
    steps: int,
    config: Path | None,
    assignments: tuple[str, ...],
    out: Path | None,
    **flags: Any,
) -> RangeTest:
    """Raise the learning rate step by step and see where the loss falls.

    Takes the flags of `uda train` that can matter, and tests the supervised part of
    that training with a model of its own: no run, no weights are written, only lr.png
    and lr.csv.

    \b
    uda lr-find photos --split split.csv
    uda lr-find photos --optimizer sgd --batch 64
    """  # noqa: D301
    from uda.training.lr_finder import (
        find_learning_rate,
        refuse_idle,
        supervised_part,
    )
    from uda.training.memory import memory_told
    from uda.training.prepare import build_parts
    from uda.training.split import find_split

    given = given_settings(data, flags, assignments)
    refuse_idle(given)
    resolved = built(given, flags, config)
    if not resolved.data.root:
        raise UsageError("no data: uda lr-find DATA, or data.root in --config")
    check_folder(out, "lr-find")
    resolved = supervised_part(resolved)
    catalog, split, _ = find_split(resolved)
    with memory_told(resolved):
        parts = build_parts(resolved, catalog, split, counter())
        found = find_learning_rate(
            resolved, parts, steps=steps, progress=counter("steps")
        )
    folder = new_folder(out, "lr-find")
    with writing(folder):
        found.save(folder)
    click.echo(f"Written: {folder}/lr.png, {folder}/lr.csv")
    if found.steepest is None or found.tenth_of_lowest is None:
        raise TrainingError(
            "the loss fell at no learning rate, so there is nothing to suggest; look "
            "at the plot, and at the labels and the image size before training"
        )
    click.echo(f"A tenth of the rate of the lowest loss: {found.tenth_of_lowest:.2g}")
    click.echo(f"The rate of the steepest descent: {found.steepest:.2g}")
    click.echo(f"Train with --lr {found.tenth_of_lowest:.2g}")
    return found
