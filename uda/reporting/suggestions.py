"""The contact sheet of `uda suggest`: what to label next, by the reason for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uda.data.preprocessing import Preprocessing
from uda.evaluation.ranking import REASONS
from uda.evaluation.suggesting import Suggestion
from uda.reporting.sheets import Block, Row, Tile, draw_sheet, save_sheet

COLUMNS = 8
_SIDE = 112  # of a tile, in pixels
_TITLES = {
    "unsure": (
        "Unsure",
        "The two likeliest classes are close: predicted, and second.",
    ),
    "rare": ("Rare", "May be of a rare class: predicted, and what it may be."),
    "novel": (
        "New",
        "Nothing labelled looks like it, but others in the pile do: so many times "
        "farther from the one than from the other.",
    ),
}


def save_suggestions(
    path: Path,
    chosen: Sequence[Suggestion],
    preprocessing: Preprocessing,
    *,
    title: str,
) -> None:
    """Draw the suggested images with their line in the list, and write a PNG.

    Args:
        path: the picture.
        chosen: at least one.
        preprocessing: colours and value range of the run; the size is another.
        title: of the sheet.
    """
    tall, wide = (
        max(1, round(side * _SIDE / max(preprocessing.size)))
        for side in preprocessing.size
    )
    small = replace(preprocessing, size=(tall, wide))
    blocks = []
    for kind in REASONS:
        tiles = [
            Tile(small.read(entry.record.file), _caption(number, entry))
            for number, entry in enumerate(chosen, start=2)  # line 1 is the header
            if entry.kind == kind
        ]
        if tiles:
            heading, detail = _TITLES[kind]
            blocks.append(Block(f"{heading}: {len(tiles)}", detail, rows=_rows(tiles)))
    detail = (
        "The number is the row in a spreadsheet, below the header; fill in its column "
        "'label'."
    )
    save_sheet(draw_sheet(blocks, title=title, detail=detail), path)


def _rows(tiles: Sequence[Tile]) -> tuple[Row, ...]:
    wide = min(COLUMNS, len(tiles))
    filled = [*tiles, *[None] * (-len(tiles) % wide)]
    return tuple(
        Row(tuple(filled[start : start + wide]))
        for start in range(0, len(filled), wide)
    )


def _caption(number: int, entry: Suggestion) -> tuple[str, ...]:
    name = entry.record.path.rsplit("/", 1)[-1]
    lines = [f"{number}  {name}", f"{entry.predicted} {entry.probability:.2f}"]
    if entry.other is None:
        lines.append(f"{entry.novelty:.1f} times")
    elif entry.other[0] != entry.predicted:
        lines.append(f"{entry.other[0]} {entry.other[1]:.2f}")
    return tuple(lines)
