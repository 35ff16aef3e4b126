"""What a person sees of a study: cells as they finish, and its table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from uda.study.findings import Row
    from uda.study.report import Report

_WIDTH = 130  # of a table in a log
_SHORT = {"balanced_accuracy": "bal. acc.", "rarest_recall": "rarest recall"}


@contextmanager
def cells_progress() -> Iterator[Callable[[int, int, dict[str, Any] | None], None]]:
    """Give a function that shows cells done and the time left.

    A bar on a terminal; in a log a line per cell.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    begin, first = time.monotonic(), -1

    def left(done: int, total: int) -> str:
        nonlocal first
        first = done if first < 0 else first
        if done in (first, total):
            return ""
        each = (time.monotonic() - begin) / (done - first)
        return f"{_duration(each * (total - done))} left"

    if not sys.stderr.isatty():

        def plain(done: int, total: int, row: dict[str, Any] | None) -> None:
            rest = left(done, total)
            click.echo(f"cell {done}/{total}  {_cell(row)}  {rest}".rstrip(), err=True)

        yield plain
        return
    with Progress(
        TextColumn("cells"), BarColumn(), MofNCompleteColumn(),
        # Texts of errors hold brackets, which are no markup.
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[cell]}", markup=False),
        console=Console(stderr=True),
    ) as bar:  # fmt: skip
        task = bar.add_task("cells", total=None, left="", cell="")

        def live(done: int, total: int, row: dict[str, Any] | None) -> None:
            bar.update(
                task, completed=done, total=total, left=left(done, total),
                cell=_cell(row),
            )  # fmt: skip

        yield live


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    name = f"{row['slug']} r{row['repeat']}-f{row['fold']}"
    if "error" in row:
        return f"{name}: failed ({row['error']})"
    return f"{name}: balanced accuracy {row['balanced_accuracy']:.3f}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def table_text(report: Report) -> str:
    """Return a study's table as text, as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uda.study.findings import MAIN
    from uda.study.report import TITLES, shown_measures

    findings = report.findings
    measures = shown_measures(findings)
    title = Text(f"In points; differences are to {findings.reference}")
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("strategy", no_wrap=True)
    for name in measures:
        table.add_column(_SHORT.get(name, TITLES[name]), justify="right")
        if name == MAIN:
            table.add_column("difference", justify="right", no_wrap=True)
    for heading in ("chance best", "cells", "s each"):
        table.add_column(heading, justify="right")
    for row in findings.rows:
        table.add_row(Text(row.name), *_numbers(row, measures, findings.num_cells))
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def _numbers(row: Row, measures: list[str], num_cells: int) -> list[str]:
    """Return the cells of a strategy behind its name."""
    from uda.study.findings import MAIN
    from uda.study.verdict import between, points

    cells = []
    for name in measures:
        value, gap = row.values.get(name), row.gaps.get(name)
        cells.append("–" if value is None else points(value))
        if name == MAIN:
            told = gap and f"{points(gap.value)} ({between(gap)})"
            cells.append(told or "")
    best = "–" if row.best is None else f"{row.best:.0%}"
    seconds = "–" if row.seconds is None else f"{row.seconds:.0f}"
    failed = f", {row.failed} failed" if row.failed else ""
    return [*cells, best, f"{row.cells}/{num_cells}{failed}", seconds]
