"""The classical description of a run's images: texture in detail, and what is odd.

Texture is read at more pixels than the network gets, since it costs seconds. What
strays from the typical image of the pile is read beside it at the network's size, 64
pixels at most; by itself, where all images are framed alike, at the size of texture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.pool import Pool
from uda.models.descriptors import PER_THREAD, chunk_of
from uda.models.deviation import Typical, framed_alike, reduced
from uda.models.texture import described
from uda.training.prepare import Parts, Rows
from uda.training.teacher import statistics_rows

Features = npt.NDArray[np.float32]

_IN_MEMORY = 1024  # images of 192 x 192 pixels in memory at once
_SAMPLE = 384  # images that say what is typical
_SIDE = 64  # pixels; an odd place is no smaller than a network of that size sees
_FINE_SIDE = 256  # pixels; bounds time and memory
# Share of detail that the mean image explains, from which on images count as framed
# alike. Solar cells have 0.65, surfaces under the most uneven light 0.1.
FRAMED = 0.3


def typical_of(parts: Parts) -> Typical:
    """Read what is typical off training images alone, a fixed sample of them."""
    return Typical.of(_sample(parts, parts.pool, _SIDE))


def frame_of(parts: Parts) -> Typical | None:
    """Read what is typical in detail, where all images are framed alike.

    Returns:
        None where they are not, and for images in colour, which deviations do not see.
    """
    if parts.pool.images.shape[3] > 1:
        return None
    if framed_alike(_sample(parts, parts.pool, _SIDE)) < FRAMED:
        return None
    return Typical.of(_sample(parts, parts.texture_pool, _FINE_SIDE))


def _sample(parts: Parts, shape: Pool, side: int) -> npt.NDArray[Any]:
    """Return some training images at a pool's size, or smaller for ``side``."""
    sample = np.sort(statistics_rows(parts.training_rows, 0)[:_SAMPLE])
    height, width = shape.images.shape[1:3]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    detail = parts.texture_pool.images
    chunks = np.array_split(sample, -(-len(sample) // _at_once(parts)) or 1)
    return np.concatenate([reduced(np.array(detail[chunk]), size) for chunk in chunks])


def describe(
    parts: Parts,
    rows: Rows,
    typical: Typical,
    *,
    texture: bool = True,
    threads: int | None = None,
) -> Features:
    """Describe images without looking at a label.

    Args:
        parts: the run's images.
        rows: (n,) pool rows.
        typical: of the run, from `typical_of` or `frame_of`.
        texture: False for the deviations alone.
        threads: for the descriptors; None for all cores.

    Returns:
        (n, F) float32.
    """
    images = parts.texture_pool.images
    return np.concatenate(
        [
            described(
                np.ascontiguousarray(images[chunk]),
                typical,
                texture=texture,
                threads=threads,
            )
            for chunk in np.array_split(rows, -(-len(rows) // _at_once(parts)) or 1)
        ]
    )


def filling(parts: Parts, threads: int) -> int:
    """Return how many images keep so many threads busy in `describe`."""
    each = chunk_of(parts.texture_pool.images.shape, PER_THREAD)
    return min(threads * each, _at_once(parts))


def _at_once(parts: Parts) -> int:
    """Return how many images `describe` takes at once, so that memory is bounded."""
    return chunk_of(parts.texture_pool.images.shape, of_small=_IN_MEMORY)
