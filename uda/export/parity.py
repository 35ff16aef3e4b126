"""Does the exported file answer like the run? Asked with the run's own images.

Batches of 1, 2 and 7 images: an exporter that took one number for all batches, or
another image for the first, is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.images import BadImage
from uda.data.preprocessing import Preprocessing, evenly
from uda.data.splits import Split
from uda.errors import CheckpointError, DataError
from uda.evaluation.locations import image_files, image_folder
from uda.run.layout import RunFolder

UInt8 = npt.NDArray[np.uint8]
Answer = Callable[[UInt8], npt.NDArray[np.float32]]

BATCHES = (1, 2, 7)
# Of a probability. Programs order their additions differently, which moves float32
# by some 1e-6; a wrong layer moves it by far more.
LIMIT = 1e-4
_TRIED = 4 * sum(BATCHES)


@dataclass(frozen=True)
class RealImages:
    """Images of a run, as its model gets them.

    Attributes:
        part: of the split that they are from.
        pixels: (n, H, W, K) uint8, n from 1 to 10.
    """

    part: str
    pixels: UInt8


def real_images(
    run: RunFolder, preprocessing: Preprocessing, data: Path | None = None
) -> RealImages:
    """Read some images of a run: of its validation part, else labelled ones.

    Args:
        run: the run.
        preprocessing: of its model.
        data: where its images are now; None for where the run found them.

    Raises:
        DataError: none of them can be read.
    """
    split = Split.load(run.split)
    part = "validation" if split.part("validation") else "labeled"
    rows = split.part(part)
    tried = [rows[index].path for index in evenly(len(rows), _TRIED)]
    found: list[UInt8] = []
    for file in image_files(run, tried, data):
        try:
            found.append(preprocessing.read(file))
        except BadImage:
            continue
        if len(found) == sum(BATCHES):
            break
    if not found:
        raise DataError(
            f"{image_folder(run, data)}: none of the run's images can be read there, "
            "and the export is checked with some; say where they are now: "
            "`uda export RUN DATA`"
        )
    return RealImages(part, np.stack(found))


def differences(reference: Answer, exported: Answer, images: UInt8) -> dict[int, float]:
    """Return, by batch size, the largest difference of a probability.

    Args:
        reference: (B, K, H, W) uint8 -> (B, C) probabilities of the run's model.
        exported: the same of the exported one.
        images: (n, H, W, K) uint8; too few of them are used more than once.

    Returns:
        Batch size -> difference; infinite where an answer is not a number, or the
        answers differ in shape.
    """
    found, start = {}, 0
    for size in BATCHES:
        chosen = np.arange(start, start + size) % len(images)
        pixels = np.ascontiguousarray(images[chosen].transpose(0, 3, 1, 2))
        found[size] = _largest(reference(pixels), exported(pixels))
        start += size
    return found


def require_parity(found: dict[int, float], what: str) -> float:
    """Return the largest difference, which has to be below the limit.

    Args:
        found: by batch size.
        what: the export, for the message.

    Raises:
        CheckpointError: with the numbers.
    """
    worst = max(found.values())
    if worst < LIMIT:
        return worst
    numbers = ", ".join(f"{value:.1e} at batch {size}" for size, value in found.items())
    raise CheckpointError(
        f"{what}: does not answer like the run: probabilities differ by {numbers}, "
        f"allowed is less than {LIMIT:.0e}; nothing was written. Update torch and the "
        "package that runs the file, or take another --format"
    )


def _largest(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if one.shape != other.shape or not np.isfinite([one, other]).all():
        return float("inf")
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(difference.max())
