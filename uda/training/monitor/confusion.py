"""The confusion matrix as a picture: counts in the cells, recall as colour.

Drawn with Pillow, in milliseconds: it is made at every evaluation of a run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from uda.training.monitor.drawing import INK, PAPER, font, shorten, text_width

_LOW = np.array([255, 255, 255])
_HIGH = np.array([8, 81, 156])
_WRONG = np.array([203, 65, 11])
_MARGIN = 12


def confusion_figure(
    counts: npt.NDArray[np.int64], classes: Sequence[str], *, title: str = ""
) -> npt.NDArray[np.uint8]:
    """Draw a confusion matrix.

    Args:
        counts: (C, C) counts; rows are true classes, columns predicted ones.
        classes: C names.
        title: a line above the matrix.

    Returns:
        uint8 (H, W, 3). Cells are coloured by their share of the row: blue on
        the diagonal (recall), orange beside it (errors).
    """
    cell = int(np.clip(640 // max(len(classes), 1), 22, 72))
    small = font(11 if cell >= 30 else 9)
    names = [shorten(name, small, 150) for name in classes]
    widest = max((text_width(name, small) for name in names), default=0)
    left, top = widest + 2 * _MARGIN + 16, widest + 2 * _MARGIN + 36
    side = cell * len(classes)
    bottom = 2 * _MARGIN
    width = max(left + side + _MARGIN, text_width(title, font(14)) + 2 * _MARGIN)
    image = Image.new("RGB", (width, top + side + bottom), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 8), title, fill=INK, font=font(14))
    draw.text((_MARGIN, top - 16), "true", fill=INK, font=small)
    draw.text((left, 32), "predicted", fill=INK, font=small)
    _cells(draw, counts, (left, top), cell)
    for index, name in enumerate(names):
        middle = top + index * cell + cell // 2
        end = left - 6
        draw.text((end, middle), name, fill=INK, font=small, anchor="rm")
        _upright(image, name, (left + index * cell + cell // 2, top - 6))
    return np.asarray(image, dtype=np.uint8).copy()


def _cells(
    draw: ImageDraw.ImageDraw,
    counts: npt.NDArray[np.int64],
    corner: tuple[int, int],
    cell: int,
) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    for row, column in np.ndindex(*counts.shape):
        x, y = corner[0] + column * cell, corner[1] + row * cell
        share = float(shares[row, column])
        end = _HIGH if row == column else _WRONG
        red, green, blue = (int(v) for v in _LOW + (end - _LOW) * share)
        box = (x, y, x + cell, y + cell)
        draw.rectangle(box, fill=(red, green, blue), outline=(210, 210, 210))
        if counts[row, column]:
            ink = PAPER if share > 0.5 else INK
            size = font(14 if cell >= 40 else 9)
            middle = (x + cell // 2, y + cell // 2)
            draw.text(
                middle, str(counts[row, column]), fill=ink, font=size, anchor="mm"
            )


def _upright(image: Image.Image, name: str, foot: tuple[int, int]) -> None:
    small = font(11)
    width = text_width(name, small) + 2
    label = Image.new("RGB", (width, 16), PAPER)
    ImageDraw.Draw(label).text((0, 8), name, fill=INK, font=small, anchor="lm")
    turned = label.transpose(Image.Transpose.ROTATE_90)
    image.paste(turned, (foot[0] - 8, foot[1] - width))
