"""A Python policy: a random gamma curve, and a flip half of the time.

Copy this file, change the function, and use it: --strong path/to/mine.py
"""

from __future__ import annotations

import numpy as np


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return another view of one image.

    Args:
        image: (H, W, K) uint8, K = 1 (grey) or 3 (red, green, blue). It is a copy.
        rng: draw every random number from here, so that a run can be repeated.

    Returns:
        (H, W, K) uint8, of the same shape.
    """
    gamma = np.exp(rng.uniform(-0.4, 0.4))
    table = np.rint(255.0 * (np.arange(256) / 255.0) ** gamma).astype(np.uint8)
    view = table[image]
    return view[:, ::-1] if rng.random() < 0.5 else view
