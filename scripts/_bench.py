"""Shared by the benchmarks: drawn images, a run through the real loop, tables."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uda.run.environment import describe_environment
from uda.training.configure import build_config
from uda.training.launch import launch
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest

CLASSES = ("Good", "Rust", "Scratch")


def write_images(folder: Path, *, per_class: int, unlabeled: int, side: int) -> None:
    """Write grey noise with a class-dependent mark: data/CLASS and more/."""
    rng = np.random.default_rng(5)
    names = [f"data/{kind}/{n:05d}" for kind in CLASSES for n in range(per_class)]
    names += [f"more/{n:05d}" for n in range(unlabeled)]
    for number, name in enumerate(names):
        pixels = rng.integers(96, 160, (side, side), dtype=np.uint8)
        folder_name = name.split("/")[1]
        kind = CLASSES.index(folder_name) if folder_name in CLASSES else number % 3
        pixels[4 + 8 * kind : 8 + 8 * kind] = 220
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)


def train(folder: Path, keys: dict[str, Any], *, name: str) -> list[dict[str, Any]]:
    """Train on what `write_images` wrote and return the journal's lines."""
    config = build_config(
        {
            "data.root": str(folder / "data"),
            "data.unlabeled": (str(folder / "more"),),
            "data.group": "none",
            "data.cache": str(folder / "cache" / name),
            "loop.log_every": 1,
            **keys,
        }
    )
    launch(
        config,
        Length(),
        project=folder / "runs",
        name=name,
        console=Progress(),
        stop=StopRequest(),
    )
    status = json.loads((folder / "runs" / name / "status.json").read_text())
    if not status.get("trust", 1.0) > 0:
        raise SystemExit("the unlabelled branch was off: this measures nothing")
    journal = folder / "runs" / name / "metrics.jsonl"
    return [json.loads(line) for line in journal.read_text().splitlines()]


def machine() -> str:
    """Hardware, versions and load in one line."""
    facts = describe_environment()
    versions = ", ".join(
        f"{name} {facts['packages'][name]}" for name in ("torch", "numpy", "numba")
    )
    system = facts["system"]
    load = os.getloadavg()[0]
    return (
        f"{system['cpu']}, {system['cpus_usable']} cores, {system['memory_gib']} GiB; "
        f"{system['os']}; Python {facts['python']}, {versions}; load {load:.1f}"
    )


def show(head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
