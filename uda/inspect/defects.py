"""Defects in pixels as a table: what each class keeps at each image size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from uda.data.defects import LEAST_SIDE, DefectSize, Size


def defect_parts(found: Sequence[DefectSize]) -> Iterator[RenderableType]:
    """Return a table of shorter sides, one column per size, and a word of warning."""
    if not found:
        return
    sizes = list(dict.fromkeys(one.size for one in found))
    table = Table(
        title="Shorter side of defects in pixels: median/5th percentile",
        title_justify="left",
    )
    table.add_column("class (boxes)")
    for size in sizes:
        table.add_column(_title(size), justify="right")
    by_class: dict[str, list[DefectSize]] = {}
    for one in found:
        by_class.setdefault(one.name, []).append(one)
    for name, row in by_class.items():
        cells = [
            Text(f"{_px(one.median)}/{_px(one.small)}", "red" if one.lost else "")
            for one in row
        ]
        table.add_row(f"{escape(name)} ({row[0].boxes})", *cells)
    yield table
    if any(one.lost for one in found):
        yield Text(
            f"Red: under {LEAST_SIDE:.0f} px a defect is as good as lost. Train at a "
            "larger size, or in tiles.",
            "red",
        )


def _title(size: Size | None) -> str:
    if size is None:
        return "as is"
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _px(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
