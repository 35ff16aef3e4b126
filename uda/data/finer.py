"""At how many pixels texture is read: more than a network gets, if the files have them.

What tells defects apart in a texture is often finer than a network's small image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from uda.data.images import BadImage, probe
from uda.data.records import Record

# Longer sides cost more than they tell (docs/method.md).
DETAIL_SIDE = 192
_HEADERS = 64  # files whose size is looked at


def detail_size(size: tuple[int, int], side: int) -> tuple[int, int] | None:
    """Return (H, W) of the images that texture is read from, in the same proportion.

    The longer side is that of the files, at most 192 pixels; None where that is no
    more than the run's own size.

    Args:
        size: (H, W) of the run.
        side: longer side of the files, in pixels.
    """
    longer = min(side, DETAIL_SIDE)
    if longer <= max(size):
        return None
    height, width = (max(1, round(x * longer / max(size))) for x in size)
    return height, width


def usual_side(records: Sequence[Record]) -> int:
    """Return the median longer side, in pixels, of a fixed sample of the files."""
    sides = []
    for record in records[:: max(1, len(records) // _HEADERS)]:
        with suppress(BadImage):  # told when it is decoded
            header = probe(record.file)
            sides.append(max(header.height, header.width))
    return int(np.median(sides)) if sides else 0
