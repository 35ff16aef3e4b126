"""``uda inspect``: which numbers are too low and require treatment?"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.folders import check_folder, new_folder
from uda.cli.options import SizeType
from uda.errors import UsageError
from uda.files import writing
from uda.words import data_flags

if TYPE_CHECKING:
    from uda.inspect.report import Inspection


@click.command(short_help="Which numbers are too low and require treatment?")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--unlabeled",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of unlabelled images, nested or flat; repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New folder for the results. Default: runs/inspect, runs/inspect2, …",
)
@click.option(
    "--group",
    metavar="COLUMN|auto",
    help="Which images belong together; the manifest's column group if it has one.",
)
@click.option(
    "--multi-label",
    is_flag=True,
    help="An image may have several labels, or none: Rust|Scratch, or a column each.",
)
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Boxes of defects (COCO, VOC, YOLO, corners): their size in pixels.",
)
@click.option(
    "--imgsz",
    multiple=True,
    type=SizeType(),
    help="A further size at which to measure defects; repeatable.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    data: Path,
    unlabeled: tuple[Path, ...],
    out: Path | None,
    group: str | None,
    multi_label: bool,
    boxes: Path | None,
    imgsz: tuple[tuple[int, int], ...],
    seed: int,
    threads: int,
    quiet: bool,
) -> Inspection:
    """Look at DATA before training on it.

    Counts per class and what each can support, sizes, broken files, duplicates and
    groups, how far a random split would leak, colours, the unlabelled images; then
    what to try first. Writes inspect.json, groups.csv (path,group) and groups.png,
    a contact sheet of what belongs together.
    """
    from rich.console import Console

    from uda.inspect.report import inspect_data
    from uda.inspect.text import render

    check_folder(out, "inspect")
    if imgsz and boxes is None:
        raise UsageError("--imgsz measures the defects in --boxes; give both")
    inspection = inspect_data(
        data,
        unlabeled=unlabeled,
        group=group,
        multi_label=multi_label,
        seed=seed,
        threads=threads,
        boxes=boxes,
        sizes=imgsz,
        progress=None if quiet else _show_progress(),
    )
    folder = new_folder(out, "inspect")
    with writing(folder):
        inspection.save(folder)
    # Commands are longer than some terminals: they are there to be copied.
    Console(highlight=False).print(render(inspection), crop=False)
    click.echo(f"\nWritten: {folder}/")
    if inspection.support:
        flags = data_flags(unlabeled, multi_label=multi_label)
        words = ["uda", "split", str(data), *flags]
        column = group if group not in (None, "auto") else "auto"
        words += ["--group", str(column), "--out", "split.csv"]
        click.echo(f"Next: {shlex.join(words)}")
    return inspection


def _show_progress() -> Callable[[str, int, int], None] | None:
    """Return a progress function: a line that renews itself, on a terminal alone."""
    if not sys.stderr.isatty():
        return None

    def show(stage: str, done: int, total: int) -> None:
        if done == total or done % 50 == 0:
            end = "\n" if done == total else ""
            click.echo(f"\r{stage} {done}/{total}", err=True, nl=False)
            click.echo(end, err=True, nl=False)

    return show
