"""The contact sheet of doubted labels: one tile per image, by the label it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.evaluation.doubt import Doubt
from uda.reporting.sheets import Block, Row, Tile, draw_sheet

_ACROSS = 10
Read = Callable[[str], npt.NDArray[np.uint8]]


def draw_doubts(doubts: Mapping[int, Doubt], read: Read) -> Image.Image:
    """Draw images whose label is doubted, most doubtful first within each label.

    Args:
        doubts: at least one, by its row in the list as a spreadsheet counts them.
        read: gives the (H, W, K) uint8 pixels of a path, all of one shape.
    """
    by_label: dict[str, list[Tile]] = {}
    for row, entry in doubts.items():
        by_label.setdefault(entry.label, []).append(_tile(row, entry, read))
    longest = max(len(tiles) for tiles in by_label.values())
    across = min(_ACROSS, longest)
    blocks = [
        Block(f"labelled {label}", rows=_rows(tiles, across))
        for label, tiles in by_label.items()
    ]
    return draw_sheet(
        blocks,
        title=f"{len(doubts)} labels that the folds doubt",
        detail="below each image: its row in the list, its file, what it looks like, "
        "P(that) against P(its label)",
    )


def _rows(tiles: Sequence[Tile], across: int) -> tuple[Row, ...]:
    starts = range(0, len(tiles), across)
    lines: list[list[Tile | None]] = [[*tiles[at : at + across]] for at in starts]
    lines[-1] += [None] * (across - len(lines[-1]))
    return tuple(Row(tuple(line)) for line in lines)


def _tile(row: int, entry: Doubt, read: Read) -> Tile:
    name = entry.path.rsplit("/", 1)[-1]
    odds = f"{entry.other:.2f} against {entry.own:.2f}"
    return Tile(read(entry.path), (f"row {row}", name, entry.suggested, odds))
