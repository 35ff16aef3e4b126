"""The classical description of a run's images: texture in detail, and what is odd.

Texture is read at more pixels than the network gets, since it costs seconds; what
strays from the typical image of the pile, at the network's size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uda.models.descriptors import texture_features
from uda.models.deviation import Typical, deviation_features
from uda.training.prepare import Parts, Rows
from uda.training.teacher import statistics_rows

Features = npt.NDArray[np.float32]

_CHUNK = 256


def describe(parts: Parts, rows: Rows, *, threads: int | None = None) -> Features:
    """Describe images without looking at a label.

    What is typical is read off training images alone, a fixed sample of them.

    Args:
        parts: the run's images.
        rows: (n,) pool rows.
        threads: for the descriptors; None for all cores.

    Returns:
        (n, F) float32.
    """
    images, detail = parts.pool.images, parts.texture_pool.images
    sample = np.sort(statistics_rows(parts.training_rows, 0))
    typical = Typical.of(np.ascontiguousarray(images[sample]))
    found = []
    for chunk in np.array_split(rows, max(1, -(-len(rows) // _CHUNK))):
        texture = texture_features(np.ascontiguousarray(detail[chunk]), threads=threads)
        strays = deviation_features(
            np.ascontiguousarray(images[chunk]), typical, threads=threads
        )
        found.append(np.concatenate([texture, strays], axis=1))
    return np.concatenate(found).astype(np.float32)
