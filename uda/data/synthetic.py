"""The embedded demo set: photos of machined metal with three kinds of defect.

Drawn with numpy from a seed, so that nothing has to be downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from uda.data.surfaces import draw_part, photograph
from uda.errors import DataError
from uda.files import write_csv
from uda.rng import generator, permutation

TRAIN_COUNTS = {"Good": 94, "Scratch": 32, "Rust": 11, "Grind_Marks": 7}
TEST_COUNTS = {"Good": 60, "Scratch": 30, "Rust": 30, "Grind_Marks": 30}
NATURAL_RATES = {"Good": 0.65, "Scratch": 0.20, "Rust": 0.09, "Grind_Marks": 0.06}

_TWIN_SHARE = 0.1
_QUALITY = 92

_README = """\
Synthetic demo set: machined metal surfaces, drawn by `uda demo` from seed {seed}.
No camera and no real part was involved; results on it say nothing about yours.

train/       labelled photos in class folders: {train}
test/        other parts, for the evaluation at the end: {test}
unlabeled/   {unlabeled} photos at natural rates ({rates}).
             Every tenth shows a part of unlabeled/ or train/ a second time, shifted
             and in another light. No part of test/ appears anywhere else.
parts.csv    what every photo really shows, and which part; training never reads it.

Good parts have harmless dust, oil and tool marks along the grain. A scratch is a
thin line across it; rust is a brownish patch; grind marks are bundles of curved
strokes in another direction than the grain.
"""


@dataclass(frozen=True)
class _Photo:
    """One file to be: where, of which part, and what that part shows."""

    path: str
    label: str
    part: int


def write_demo(
    folder: Path, *, seed: int = 0, unlabeled: int = 600, size: int = 96
) -> Path:
    """Write the demo set and return its folder.

    Train: Good 94, Scratch 32, Rust 11, Grind_Marks 7. Test: 60 and 30 of each
    defect. The folder appears when everything is written, or not at all.

    Args:
        folder: a folder that is empty or does not exist yet.
        seed: same seed, same bytes.
        unlabeled: number of unlabelled images.
        size: side of an image in pixels.

    Raises:
        DataError: when the folder holds anything already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder}: is not an empty folder; choose another for the demo set"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        _write(draft, seed=seed, unlabeled=unlabeled, size=size)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write(folder: Path, *, seed: int, unlabeled: int, size: int) -> None:
    photos = list(_plan(seed, unlabeled))
    for number, photo in enumerate(photos):
        surface = draw_part(generator(seed, "demo/part", photo.part), photo.label, size)
        pixels = photograph(generator(seed, "demo/photo", number), surface, size)
        path = folder / photo.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Full colour resolution: half of it would wash out the edge of rust.
        Image.fromarray(pixels).save(path, quality=_QUALITY, subsampling=0)
    rows = [(photo.path, photo.label, photo.part) for photo in photos]
    write_csv(folder / "parts.csv", ("path", "label", "part"), rows)
    text = _README.format(
        seed=seed,
        train=_listed(TRAIN_COUNTS),
        test=_listed(TEST_COUNTS),
        unlabeled=unlabeled,
        rates=", ".join(f"{name} {rate:.0%}" for name, rate in NATURAL_RATES.items()),
    )
    (folder / "README.txt").write_text(text, encoding="utf-8")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _plan(seed: int, unlabeled: int) -> Iterator[_Photo]:
    """Every photo of the set; parts are numbered through, test parts first."""
    part = 0
    train: list[_Photo] = []
    for folder, counts in (("test", TEST_COUNTS), ("train", TRAIN_COUNTS)):
        for label, count in counts.items():
            for _ in range(count):
                path = f"{folder}/{label}/part_{part:04d}.jpg"
                photo = _Photo(path, label, part)
                train += [photo] if folder == "train" else []
                part += 1
                yield photo
    num_twins = int(_TWIN_SHARE * unlabeled)
    labels = _natural_labels(seed, unlabeled - num_twins)
    shown = [(label, part + i) for i, label in enumerate(labels)]
    known = shown + [(photo.label, photo.part) for photo in train]
    pick = permutation(seed, "demo/twins", 0, len(known))[:num_twins]
    shown += [known[i] for i in pick]
    for number, i in enumerate(permutation(seed, "demo/order", 0, len(shown))):
        label, owner = shown[i]
        yield _Photo(f"unlabeled/photo_{number:04d}.jpg", label, owner)


def _natural_labels(seed: int, count: int) -> list[str]:
    """Classes at natural rates, rounded so that they add up, in random order."""
    edges = np.rint(np.cumsum(list(NATURAL_RATES.values())) * count).astype(int)
    counts = np.diff(np.concatenate([[0], edges]))
    labels = np.repeat(np.array(list(NATURAL_RATES)), counts)
    return [str(labels[i]) for i in permutation(seed, "demo/labels", 0, len(labels))]
