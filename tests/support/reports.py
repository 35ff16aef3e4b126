"""A run folder as training would leave it, without training, with any names."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from uda.data.preprocessing import Preprocessing
from uda.data.splits import Split, SplitRow
from uda.files import sha256_file, write_csv
from uda.models.classifier import Classifier
from uda.models.heads import Outputs
from uda.run.bundle import Bundle
from uda.training.monitor import tags
from uda.training.monitor.progress import Progress
from uda.training.monitor.writer import RunWriter

PLAIN = ("Good", "Rust", "Scratch")
# Names that a file system allows and a page, a shell or a spreadsheet may run.
HOSTILE = ("<img src=x onerror=alert(1)>", "=cmd|'C calc'!A0", "line\nbreak")
FILES = ('"><script>alert(1)<', "=1+1", "a\nb", os.fsdecode(b"n\xff"), "x" * 200)
SIDE = 16


class Levels(nn.Module):
    """Logits fall with the distance of the mean brightness from each class's."""

    num_features = 3

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.conv.weight.data.fill_(1.0)
        self.conv.bias.data.fill_(0.0)
        self.shift = shift

    def forward(self, x):
        level = self.conv(x).mean(dim=(1, 2, 3)) * 255
        marks = torch.tensor([40.0, 128.0, 216.0]) + self.shift
        return -((level[:, None] - marks) ** 2) / 900


class Same(nn.Module):
    def forward(self, features):
        return Outputs(leaf=features)


def model(shift: float) -> Classifier:
    return Classifier(Levels(shift), Same(), [0.0], [1.0], 3)


@dataclass
class Made:
    """A run, and what opens it in place of `load_bundle`."""

    folder: Path
    classes: tuple[str, ...]
    shifts: dict[str, float]

    def load_bundle(self, folder, *, weights="ema"):
        preprocessing = Preprocessing((SIDE, SIDE), 1, "squash", None, (0.5,), (0.2,))
        shift = self.shifts[weights]
        return Bundle("network", model(shift), self.classes, preprocessing, self.folder)


def make_run(
    folder: Path, classes=PLAIN, *, names=(), per_part=6, warm=True, history=True
) -> Made:
    """Write a run folder and the images that its split names.

    Args:
        folder: holds ``data`` and ``runs/train`` afterwards.
        classes: three names.
        names: of the first test images of each class; numbers otherwise.
        per_part: images of each class and part, two to a group.
        warm: whether it has a warm start.
        history: whether anything was logged.
    """
    run = folder / "runs" / "train"
    run.mkdir(parents=True)
    _split(folder / "data", classes, names, per_part).save(run / "split.csv")
    config = f"""method: uda
seed: 3
data:
  root: {folder / "data"}
  size: [16, 16]
model:
  name: small
  good_class: null
consistency:
  prior: null
"""
    (run / "config.yaml").write_text(config, encoding="utf-8")
    _json(run / "model.json", {"kind": "network", "spec": {"classes": list(classes)}})
    _json(run / "status.json", _status())
    command = [f"{Path.home()}/bin/uda", "train", str(folder / "data")]
    _json(run / "env.json", {"uda": "0.1.0", "python": "3.12", "command": command})
    write_csv(run / "skipped.csv", ("path", "reason"), [("bad<b>.png", "=empty")])
    shifts = {"ema": 0.0, "raw": 25.0}
    if warm:
        (run / "weights").mkdir()
        (run / "weights" / "warm.safetensors").touch()
        shifts["warm"] = 60.0
    if history:
        _history(run, classes)
    return Made(run, tuple(classes), shifts)


def _split(data: Path, classes, names, per_part) -> Split:
    generator = np.random.default_rng(5)
    rows = []
    for number, label in enumerate(classes):
        for part in ("labeled", "validation", "test"):
            for image in range(per_part):
                stem = names[image] if part == "test" and image < len(names) else image
                path = f"c{number}/{part}-{stem}.png"
                level = np.clip(40 + 88 * number + generator.normal(0, 35), 20, 235)
                pixels = np.clip(level + generator.normal(0, 5, (20, 12)), 0, 250)
                (data / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(data / path)
                group = f"{number}{part}{image // 2}"
                rows.append(
                    SplitRow(path, part, label, group, sha256_file(data / path))
                )
    rows += [SplitRow(f"u/{n}.png", "unlabeled", None, None, "") for n in range(9)]
    return Split(tuple(rows))


def _status():
    alarm = {
        "seen": "Few <b>validation</b> images.",
        "why": "",
        "change": "Label more.",
    }
    return {
        "state": "done", "time": "2026-01-02T03:04:05+0000", "step": 40, "steps": 40,
        "skill": 0.7, "trust": 1.0, "handed_over": "final", "guard_factor": 0.5,
        "warm_start": {"balanced_accuracy": 0.5, "standard_error": 0.1},
        "val_ema/balanced_accuracy": 0.8, "alarms": [alarm],
    }  # fmt: skip


def _history(run: Path, classes) -> None:
    import io

    console = Progress(stream=io.StringIO())
    names = tags.class_tags(classes)
    writer = RunWriter(run, classes=classes, total_steps=40, console=console)
    with writer:
        for step in range(10, 41, 10):
            values = {"loss/total": 2 / step, "loss/supervised": 1 / step,
                      "loss/consistency": 1 / step, "optimizer/lr": 0.01,
                      "unlabeled/mask_rate": step / 50, "unlabeled/pseudo_right": 0.9,
                      "unlabeled/guard_factor": 0.5}  # fmt: skip
            values |= {f"unlabeled/pseudo_share/{name}": 1 / 3 for name in names}
            values |= {f"val_ema/recall/{name}": 0.5 for name in names}
            writer.scalars(step, values | {"val_ema/balanced_accuracy": step / 50})
        grid = np.full((40, 60, 3), 200, dtype=np.uint8)
        writer.images(40, "unlabeled/views", grid)


def _json(path: Path, value) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
