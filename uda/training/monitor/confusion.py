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
_MARGIN = 6
_TEXT, _LINE, _WIDTH = 13, 18, 340


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
    # TensorBoard shows about 340 pixels: drawn to that width, text stays sharp.
    face = font(_TEXT)
    names = [shorten(name, face, 110) for name in classes]
    widest = max((text_width(name, face) for name in names), default=0)
    left, top = widest + 3 * _MARGIN + _LINE, widest + 3 * _MARGIN + 2 * _LINE
    cell = int(np.clip((_WIDTH - left) // max(len(classes), 1), 24, 60))
    side = cell * len(classes)
    width = max(left + side + _MARGIN, text_width(title, face) + 2 * _MARGIN)
    image = Image.new("RGB", (width, top + side + _MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), title, fill=INK, font=face)
    middle = left + side // 2
    draw.text((middle, _LINE + _MARGIN), "predicted", fill=INK, font=face, anchor="ma")
    _upright(image, "true", (_MARGIN + _LINE // 2, top + side // 2), centred=True)
    _cells(draw, counts, (left, top), cell)
    for index, name in enumerate(names):
        at = (left - _MARGIN, top + index * cell + cell // 2)
        draw.text(at, name, fill=INK, font=face, anchor="rm")
        _upright(image, name, (left + index * cell + cell // 2, top - _MARGIN))
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
            size = font(14 if cell >= 36 else 10)
            middle = (x + cell // 2, y + cell // 2)
            draw.text(
                middle, str(counts[row, column]), fill=ink, font=size, anchor="mm"
            )


def _upright(
    image: Image.Image, name: str, foot: tuple[int, int], *, centred: bool = False
) -> None:
    """Write upwards from ``foot``, or with ``foot`` as the middle."""
    width = text_width(name, font(_TEXT)) + 2
    label = Image.new("RGB", (width, _LINE), PAPER)
    ImageDraw.Draw(label).text(
        (0, _LINE // 2), name, fill=INK, font=font(_TEXT), anchor="lm"
    )
    top = foot[1] - (width // 2 if centred else width)
    image.paste(label.transpose(Image.Transpose.ROTATE_90), (foot[0] - _LINE // 2, top))
