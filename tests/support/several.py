"""Tiny surfaces on which defects occur together, and some show none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("Pit", "Rust", "Scratch")
RATES = {"Pit": 0.25, "Rust": 0.4, "Scratch": 0.5}


def surface(names: set[str], rng: np.random.Generator, side: int = 24) -> np.ndarray:
    """One grey picture (side, side) with each of the named defects."""
    image = rng.normal(128, 8, (side, side))
    if "Scratch" in names:
        image[rng.integers(3, side - 3), :] += 90
    if "Rust" in names:
        y, x = rng.integers(2, side - 10, 2)
        image[y : y + 8, x : x + 8] -= 70
    if "Pit" in names:
        for y, x in rng.integers(2, side - 3, (5, 2)):
            image[y : y + 2, x : x + 2] = 250
    return np.clip(image, 0, 255).astype(np.uint8)


def write_several(
    folder: Path, *, images: int = 90, unlabeled: int = 40, columns: bool = False
) -> Path:
    """Write pictures and a manifest; without labels the last ``unlabeled`` of them.

    Args:
        folder: where.
        images: labelled pictures.
        unlabeled: further ones whose label is left empty.
        columns: one column per class in place of labels joined by ``|``.
    """
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    head = ("path", *CLASSES, "group") if columns else ("path", "label", "group")
    lines = [",".join(head)]
    for number in range(images + unlabeled):
        names = {name for name, rate in RATES.items() if rng.random() < rate}
        path = f"{number:04d}.png"
        Image.fromarray(surface(names, rng)).save(folder / path)
        told = number < images
        cells = ["|".join(sorted(names)) or "none"] if told else [""]
        if columns:
            cells = [str(int(name in names)) if told else "" for name in CLASSES]
        lines.append(",".join([path, *cells, f"part{number // 2}"]))
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
