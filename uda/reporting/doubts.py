"""The contact sheet of doubted labels: one tile per image, by label and suggestion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.evaluation.doubt import Doubt
from uda.reporting.sheets import Block, Cell, Tile, draw_sheet

Read = Callable[[str], npt.NDArray[np.uint8]]


def draw_doubts(doubts: Sequence[Doubt], read: Read) -> Image.Image:
    """Draw images whose label is doubted, most doubtful first within each pair.

    Args:
        doubts: at least one.
        read: gives the (H, W, K) uint8 pixels of a path, all of one shape.
    """
    pairs: dict[tuple[str, str], list[Doubt]] = {}
    for entry in doubts:
        pairs.setdefault((entry.label, entry.suggested), []).append(entry)
    blocks = [
        Block(
            f"labelled {label}, looks like {suggested}",
            cells=(Cell("", tuple(_tile(entry, read) for entry in entries)),),
        )
        for (label, suggested), entries in pairs.items()
    ]
    return draw_sheet(
        blocks,
        title=f"{len(doubts)} labels that the folds doubt",
        detail="below each image: its file, P(its label), P(the other class)",
    )


def _tile(entry: Doubt, read: Read) -> Tile:
    name = entry.path.rsplit("/", 1)[-1]
    return Tile(read(entry.path), (name, f"{entry.own:.2f} / {entry.other:.2f}"))
