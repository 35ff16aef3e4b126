"""A run folder without training: a rule that knows bright from dark surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from uda.data.preprocessing import Preprocessing
from uda.data.splits import Split, SplitRow
from uda.files import sha256_file
from uda.models.heads import Outputs
from uda.run.bundle import Bundle

CLASSES = ("Dark", "Good", "Rust")
LEVELS = {"Dark": 40, "Good": 128, "Rust": 220}


class Brightness(nn.Module):
    """Logits fall with the distance from each class's mean brightness."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        levels = torch.tensor([float(LEVELS[name]) for name in CLASSES])
        self.levels = nn.Parameter(levels + shift)

    def forward(self, images):
        mean = images.float().mean(dim=(1, 2, 3))
        return Outputs(leaf=-((mean[:, None] - self.levels) ** 2) / 900)


@dataclass
class FakeRun:
    folder: Path
    data: Path
    kind: str = "network"

    def load_bundle(self, folder, *, weights="ema"):
        preprocessing = Preprocessing((16, 16), 1, "squash", None, (0.5,), (0.2,))
        model = Brightness(0.0 if weights == "ema" else 60.0)
        return Bundle(self.kind, model, CLASSES, preprocessing, Path(folder))


def write_image(path: Path, label: str, seed: int, spread: float = 25.0) -> None:
    rng = np.random.default_rng(seed)
    # All white, two images would be the same one.
    value = min(LEVELS[label] + rng.normal(0, spread), 240.0)
    pixels = np.clip(value + rng.normal(0, 5, (20, 12)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_deep(path: Path) -> None:
    """Write an image of 12 bits, to the brim of none of its 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.linspace(0, 4095, 240).astype(np.uint16).reshape(20, 12)
    Image.fromarray(values).save(path)


def make_run(folder: Path, *, per_part: int = 8) -> FakeRun:
    """Write data, a split and a configuration; two images share each group."""
    data, run = folder / "data", folder / "runs" / "train"
    rows = []
    for index, label in enumerate(CLASSES):
        for number, part in enumerate(("labeled", "validation", "test")):
            for image in range(per_part):
                name = f"{label}/{part}{image}.png"
                write_image(data / name, label, 1000 * index + 100 * number + image)
                group = f"{label}{part}{image // 2}"
                rows.append(
                    SplitRow(name, part, label, group, sha256_file(data / name))
                )
    run.mkdir(parents=True)
    Split(tuple(rows)).save(run / "split.csv")
    (run / "config.yaml").write_text(f"data:\n  root: {data}\n", encoding="utf-8")
    (run / "status.json").write_text('{"state": "done"}', encoding="utf-8")
    return FakeRun(run, data)
