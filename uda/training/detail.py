"""At how many pixels texture is read, and how long the warm start on it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from uda.data.images import BadImage, probe
from uda.data.records import Record
from uda.models.descriptors import MIN_SIDE
from uda.training.config import RunConfig

# Longer sides cost more than they tell (docs/method.md).
DETAIL_SIDE = 192
_HEADERS = 64  # files whose size is looked at


def default_steps(config: RunConfig, steps: int) -> int:
    """Return how long the warm start is where nobody said it: as long as the run.

    Nothing where trained weights are given, where images are cut into tiles or too
    small to have a texture, without an unlabelled branch, and in the paper's recipe.
    """
    model, data = config.model, config.data
    given = model.weights is not None or model.pretrained
    if given or not config.semi_supervised or config.recipe == "paper":
        return 0
    return 0 if data.tiles is not None or min(data.size) < MIN_SIDE else steps


def reads_texture(config: RunConfig) -> bool:
    """Tell whether a run looks at texture: for its targets or for a warm start."""
    method, steps = config.consistency, config.model.pretrain_steps
    if config.semi_supervised and method.weak_pass == "table" and method.texture_weight:
        return True
    return bool(default_steps(config, 1) if steps is None else steps)


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
