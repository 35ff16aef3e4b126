"""Run folders without training: networks with random weights on tiny surfaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.support.surfaces import CLASSES, write_surfaces
from uda.data.preprocessing import Preprocessing
from uda.data.splits import Split, SplitRow
from uda.evaluation.thresholds import Thresholds
from uda.files import sha256_file
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.tiles import Tiling
from uda.run.bundle import save_description, save_weights
from uda.run.layout import RunFolder

BRANCHES = (("(all)", ("Good", "Defect")), ("Defect", ("Rust", "Scratch")))
# What a run's model may be, one entry per way from features to probabilities.
HEADS = {
    "flat": {},
    "cosine": {"head": "cosine"},
    "balanced": {"head": "balanced"},
    "tree": {"head": "tree", "tree": BRANCHES},
    "independent": {"head": "tree", "tree": BRANCHES, "independent": True},
    "multi-label": {"link": "sigmoid"},
    "tiles-max": {"tiles": Tiling(2, 2, "max", 0)},
    "tiles-noisy-or": {"tiles": Tiling(2, 2, "noisy-or", 0)},
}
LIMITS = (0.3, 0.5, 0.7)


def write_data(folder: Path) -> Path:
    """Write surfaces of which some are wide, so that there are bars to fill."""
    data = write_surfaces(folder, per_class=5) / "data"
    rng = np.random.default_rng(5)
    for number in range(3):
        pixels = rng.integers(0, 256, (12, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(data / "Rust" / f"wide{number}.png")
    return data


def make_run(
    folder: Path,
    data: Path,
    *,
    backbone: str = "small",
    channels: int = 1,
    parts: tuple[str, ...] = ("labeled", "validation"),
    **changes,
) -> Path:
    """Make a run whose network answers with probabilities that are not all alike."""
    run = RunFolder(folder)
    run.weights.mkdir(parents=True)
    run.write_status("done", step=6, steps=6)
    run.config.write_text(f"data:\n  root: {data}\n", encoding="utf-8")
    files = sorted(path for path in data.rglob("*.png"))
    rows = [
        SplitRow(
            file.relative_to(data).as_posix(), parts[number % len(parts)],
            file.parent.name, f"g{number}", sha256_file(file),
        )
        for number, file in enumerate(files)
    ]  # fmt: skip
    Split(tuple(rows)).save(run.split)
    mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels]
    preprocessing = Preprocessing((32, 32), channels, "letterbox", None, mean, std)
    spec = ModelSpec(backbone, CLASSES, channels, mean, std, **changes)
    save_description(run.model, "network", spec, preprocessing)
    images = np.stack([preprocessing.read(file) for file in files])
    for seed, name in enumerate(("ema", "raw")):
        model = lively(build_classifier(spec, seed=seed), images)
        save_weights(run.weights, name, model)
    if spec.link == "sigmoid":
        Thresholds(LIMITS, (12, 12, 12)).save(run.thresholds, CLASSES)
    return folder


def lively(model, images):
    """Let an untrained network tell images (n, H, W, K) apart.

    Batch norms get the statistics of these images, and the logits' means over them
    become the offset, so that each class wins somewhere.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(pixels)
        model.logit_offset.copy_(model.eval()(pixels).leaf.mean(0))
    return model
