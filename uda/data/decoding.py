"""From files to the rows of a pool: decode, close gaps, statistics, bars.

Every function works in place on one uint8 (N, H, W, K) array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uda.data.images import BadImage, fit, read_image
from uda.data.preprocessing import Preprocessing, content_box, evenly

UInt8 = npt.NDArray[np.uint8]

_STATISTICS_ROWS = 2000

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Decoder:
    """Index -> decodes one file into its row; gives its box or a reason."""

    files: Sequence[Path]
    plan: Preprocessing
    rows: UInt8

    def __call__(self, i: int) -> Box | str:
        """Decode file i into row i; return where its pixels lie, or a reason."""
        plan = self.plan
        try:
            image = read_image(
                self.files[i],
                channels=1 if plan.channels == 1 else 3,
                value_range=plan.value_range,
            )
        except BadImage as error:
            return error.reason
        black = (0,) * plan.channels
        self.rows[i] = fit(image, plan.size, mode=plan.mode, fill=black)
        return content_box(image.shape[:2], plan.size, plan.mode)


def close_gaps(rows: UInt8, reasons: list[str]) -> int:
    """Move the good rows together and return their number."""
    good = [i for i, reason in enumerate(reasons) if not reason]
    for target, source in enumerate(good):
        if target != source:
            rows[target] = rows[source]
    return len(good)


def statistics(
    rows: UInt8, boxes: Sequence[Box]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in 0..1, bars left out.

    Exact integer sums, so the order of additions cannot change the result.
    """
    channels = rows.shape[3]
    values = np.arange(256, dtype=np.int64)
    histogram = np.zeros((channels, 256), dtype=np.int64)
    for row in evenly(len(rows), _STATISTICS_ROWS):
        y0, y1, x0, x1 = boxes[row]
        for channel in range(channels):
            part = rows[row, y0:y1, x0:x1, channel]
            histogram[channel] += np.bincount(part.ravel(), minlength=256)
    total = histogram.sum(axis=1)
    mean = histogram @ values / total
    variance = histogram @ values**2 / total - mean**2
    # A constant image set must not make the model divide by zero.
    std = np.maximum(np.sqrt(np.maximum(variance, 0.0)), 1.0)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def paint_bars(rows: UInt8, boxes: Sequence[Box], fill: tuple[int, ...]) -> None:
    """Colour the bars around each image with the data set's mean."""
    colour = np.array(fill, dtype=np.uint8)
    for row, (y0, y1, x0, x1) in enumerate(boxes):
        rows[row, :y0] = colour
        rows[row, y1:] = colour
        rows[row, y0:y1, :x0] = colour
        rows[row, y0:y1, x1:] = colour
