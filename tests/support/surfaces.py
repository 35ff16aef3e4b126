"""Tiny surfaces: three classes that a small network learns in a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("Good", "Rust", "Scratch")


def surface(kind: str, rng: np.random.Generator, side: int = 24) -> np.ndarray:
    """One grey picture (side, side) of a class."""
    image = rng.normal(128, 8, (side, side))
    if kind == "Scratch":
        image[rng.integers(4, side - 4), :] += 90
    elif kind == "Rust":
        y, x = rng.integers(4, side - 10, 2)
        image[y : y + 8, x : x + 8] -= 70
    return np.clip(image, 0, 255).astype(np.uint8)


def write_surfaces(folder: Path, *, per_class: int = 16, unlabeled: int = 20) -> Path:
    """Write class folders below ``folder/data`` and a flat ``folder/more``."""
    rng = np.random.default_rng(7)
    for kind in CLASSES:
        (folder / "data" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            path = folder / "data" / kind / f"{kind}{number:02d}.png"
            Image.fromarray(surface(kind, rng)).save(path)
    (folder / "more").mkdir(exist_ok=True)
    for number in range(unlabeled):
        kind = CLASSES[number % 3]
        Image.fromarray(surface(kind, rng)).save(folder / "more" / f"u{number:03d}.png")
    return folder
