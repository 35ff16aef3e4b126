"""A small run as the training loop would write it, without any training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from uda import rng
from uda.training.monitor import tags
from uda.training.monitor.book import AlarmBook
from uda.training.monitor.facts import Facts
from uda.training.monitor.grids import error_grid, view_grid
from uda.training.monitor.progress import Progress
from uda.training.monitor.writer import RunWriter

CLASSES = ("Good", "Grind Marks/fine", "Rust", "Scratch")
STEPS = 400
CONFIG = "method: uda\nseed: 0\nconsistency:\n  threshold: 0.8\n  unlabeled_ratio: 4\n"


def surfaces(count: int, seed: int, *, side: int = 64) -> np.ndarray:
    """(count, side, side, 1) uint8 brushed surfaces, some with a dark line."""
    generator = rng.generator(seed, "surfaces")
    rows = generator.normal(150, 12, (count, side, 1, 1))
    noise = generator.normal(0, 6, (count, side, side, 1))
    images = rows + noise
    for index in range(0, count, 2):
        at = int(generator.integers(8, side - 8))
        images[index, at : at + 3, 10:50] -= 70
    return np.clip(images, 0, 255).astype(np.uint8)


def write_fake_run(folder: Path, *, seed: int = 0, steps: int = STEPS) -> Path:
    facts = Facts(CLASSES, (0.25,) * 4, (14, 2, 5, 8), steps)
    console = Progress(stream=io.StringIO())
    writer = RunWriter(
        folder,
        classes=CLASSES,
        total_steps=steps,
        console=console,
        alarms=AlarmBook(facts),
    )
    with writer:
        writer.config(CONFIG)
        for step in range(0, steps + 1, 10):
            writer.scalars(step, _scalars(writer, step, steps, seed))
            if step % 100 == 0:
                _evaluate(writer, step, seed)
        writer.hparams(
            {"method": "uda", "optimizer.lr": 0.03, "seed": seed},
            {"balanced_accuracy": 0.84, "macro_f1": 0.81},
        )
    return folder


def _scalars(writer: RunWriter, step: int, steps: int, seed: int) -> dict[str, float]:
    noise = rng.uniforms(seed, "noise", [step], 16)[0]
    share = step / steps
    supervised = 1.4 * np.exp(-3 * share) + 0.05 * noise[0]
    values = {
        "loss/supervised": supervised,
        "loss/total": supervised,
        tags.TSA_THRESHOLD: 0.25 + 0.75 * (1 - np.exp(-5 * share)),
        tags.LEARNING_RATE: 0.03 * np.cos(7 * np.pi * share / 16),
        tags.GRADIENT_NORM: 1.0 + noise[1],
        tags.IMAGES_PER_SECOND: 700 + 30 * noise[2],
        tags.WAITING_SHARE: 0.01 + 0.01 * noise[3],
        tags.EPOCH: step / 5,
    }
    values |= writer.class_values(tags.KEPT_SHARE, 0.3 + 0.5 * share + 0.1 * noise[4:8])
    if share > 0.35:
        values["loss/consistency"] = 0.3 * (1 - share) + 0.05 * noise[8]
        values["loss/entropy"] = 0.1 * noise[9]
        values["loss/total"] += values["loss/consistency"]
        values[tags.MASK_RATE] = 0.6 * share
        shares = np.array([0.94, 0.01, 0.02, 0.03])
        values |= writer.class_values(tags.PSEUDO_SHARE, shares)
    return {tag: float(value) for tag, value in values.items()}


def _evaluate(writer: RunWriter, step: int, seed: int) -> None:
    generator = rng.generator(seed, "evaluation", step)
    targets = np.repeat(np.arange(4), (14, 2, 5, 8))
    for name, skill in (("val", 1.5), ("val_ema", 2.5)):
        logits = generator.normal(0, 1, (len(targets), 4))
        logits[np.arange(len(targets)), targets] += skill * (0.2 + step / STEPS)
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        confusion = np.zeros((4, 4), dtype=int)
        np.add.at(confusion, (targets, probs.argmax(axis=1)), 1)
        recall = np.diag(confusion) / confusion.sum(axis=1)
        metrics = {"balanced_accuracy": recall.mean(), "macro_f1": recall.mean()}
        writer.evaluation(
            step, name, metrics, confusion=confusion, targets=targets, probs=probs
        )
    weak = surfaces(8, 1)
    strong = 255 - weak
    captions = [
        f"{CLASSES[i % 4]} {0.99 - i / 12:.2f}\n{'kept' if i < 3 else 'masked'}"
        for i in range(8)
    ]
    writer.images(step, "unlabeled/views", view_grid(weak, strong, captions))
    errors = [f"part_{i:03}.png\ntrue Rust, said Good 0.9{9 - i}" for i in range(6)]
    writer.images(step, "val_ema/worst_errors", error_grid(surfaces(6, 2), errors))
    writer.histogram(step, "unlabeled/confidence", probs.max(axis=1))
