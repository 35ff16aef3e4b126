"""The classical description of a run's images: texture in detail, and what is odd.

Texture is read at more pixels than the network gets, since it costs seconds; what
strays from the typical image of the pile, at the network's size, 64 pixels at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uda.models.deviation import Typical, reduced
from uda.models.texture import described
from uda.training.prepare import Parts, Rows
from uda.training.teacher import statistics_rows

Features = npt.NDArray[np.float32]

_CHUNK = 1024
_SAMPLE = 384  # images that say what is typical
_SIDE = 64  # pixels; an odd place is no smaller than a network of that size sees


def typical_of(parts: Parts) -> Typical:
    """Read what is typical off training images alone, a fixed sample of them."""
    sample = np.sort(statistics_rows(parts.training_rows, 0)[:_SAMPLE])
    height, width = parts.pool.images.shape[1:3]
    factor = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    detail = parts.texture_pool.images
    chunks = np.array_split(sample, max(1, -(-len(sample) // _CHUNK)))
    return Typical.of(
        np.concatenate([reduced(np.array(detail[chunk]), size) for chunk in chunks])
    )


def describe(
    parts: Parts, rows: Rows, typical: Typical, *, threads: int | None = None
) -> Features:
    """Describe images without looking at a label.

    Args:
        parts: the run's images.
        rows: (n,) pool rows.
        typical: of the run, from `typical_of`.
        threads: for the descriptors; None for all cores.

    Returns:
        (n, F) float32.
    """
    images = parts.texture_pool.images
    return np.concatenate(
        [
            described(np.ascontiguousarray(images[chunk]), typical, threads=threads)
            for chunk in np.array_split(rows, max(1, -(-len(rows) // _CHUNK)))
        ]
    )
