"""Grids of images with captions: what the network was shown, and its worst errors.

Grids are scaled down to about a megapixel: TensorBoard stores them as PNG, and
two megapixels of noise take two seconds to write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from uda.training.monitor.drawing import INK, PAPER, font, shorten, text_width

MAX_PIXELS = 1_000_000
_GAP = 6
# TensorBoard shows a picture about 340 pixels wide until it is clicked: a large
# font beside small pictures can be read there too.
_LINE = 20
_TEXT = 16
_MAX_CAPTION = 240
_MIN_SIDE, _MAX_SIDE = 32, 160

Images = npt.NDArray[np.uint8]


def view_grid(weak: Images, strong: Images, captions: Sequence[str]) -> Images:
    """Draw rows of weak view | strong view | caption.

    Args:
        weak: (N, H, W, K) uint8, K in {1, 3}.
        strong: (N, H, W, K) uint8, of the same images.
        captions: N texts such as ``"Rust 0.97 kept"``; lines split by newlines.

    Returns:
        uint8 (H', W', 3) of at most about a megapixel.

    Raises:
        ValueError: when the three do not have the same length.
    """
    _same_length(len(captions), len(weak), len(strong))
    if not captions:
        return _nothing()
    columns = 1 if len(captions) <= 8 else 2
    rows = -(-len(captions) // columns)
    caption = _caption_width(captions)
    top = _LINE + 2 * _GAP

    def size(height: int, width: int) -> tuple[int, int]:
        across = columns * (2 * width + caption + 3 * _GAP)
        return top + rows * (height + _GAP), across + _GAP

    height, width = _fit(weak.shape[1:3], size)
    canvas = _canvas(size(height, width))
    draw = ImageDraw.Draw(canvas)
    block = 2 * width + caption + 3 * _GAP
    for index, text in enumerate(captions):
        left = _GAP + (index // rows) * block
        y = top + (index % rows) * (height + _GAP)
        xs = (left, left + width + _GAP, left + 2 * (width + _GAP))
        if index % rows == 0:
            for x, title in zip(xs, ("weak", "strong", "prediction"), strict=True):
                draw.text((x, _GAP), title, fill=INK, font=font(_TEXT))
        canvas.paste(_scaled(weak[index], (height, width)), (xs[0], y))
        canvas.paste(_scaled(strong[index], (height, width)), (xs[1], y))
        _paragraph(draw, text, (xs[2], y), caption)
    return _bounded(canvas)


def error_grid(images: Images, captions: Sequence[str]) -> Images:
    """Draw images with their captions below, in the order given (worst first).

    Args:
        images: (N, H, W, K) uint8, K in {1, 3}.
        captions: N texts; lines split by newlines.

    Returns:
        uint8 (H', W', 3) of at most about a megapixel.

    Raises:
        ValueError: when the two do not have the same length.
    """
    _same_length(len(captions), len(images))
    if not captions:
        return _nothing()
    columns = min(len(captions), 3)
    rows = -(-len(captions) // columns)
    caption = _caption_width(captions)
    lines = max(text.count("\n") + 1 for text in captions) * _LINE

    def size(height: int, width: int) -> tuple[int, int]:
        down = rows * (height + lines + 2 * _GAP)
        return down + _GAP, columns * (max(width, caption) + _GAP) + _GAP

    height, width = _fit(images.shape[1:3], size)
    canvas = _canvas(size(height, width))
    draw = ImageDraw.Draw(canvas)
    for index, text in enumerate(captions):
        left = _GAP + (index % columns) * (max(width, caption) + _GAP)
        y = _GAP + (index // columns) * (height + lines + 2 * _GAP)
        canvas.paste(_scaled(images[index], (height, width)), (left, y))
        _paragraph(draw, text, (left, y + height + 2), max(width, caption))
    return _bounded(canvas)


def _same_length(*lengths: int) -> None:
    if len(set(lengths)) > 1:
        raise ValueError(f"images and captions differ in number: {lengths}")


def _nothing() -> Images:
    return np.full((1, 1, 3), 255, dtype=np.uint8)


def _caption_width(captions: Sequence[str]) -> int:
    lines = [line for text in captions for line in text.split("\n")]
    widest = max(text_width(_printable(line), font(_TEXT)) for line in lines)
    return min(_MAX_CAPTION, max(widest, 70))


def _fit(
    shape: tuple[int, ...], size: Callable[[int, int], tuple[int, int]]
) -> tuple[int, int]:
    """Return the largest thumbnail (height, width) within the pixel limit.

    Small images are enlarged, or a 32-pixel defect could not be seen.
    """
    height, width = shape
    for longest in range(_MAX_SIDE, _MIN_SIDE, -8):
        scale = longest / max(height, width)
        side = max(1, round(height * scale)), max(1, round(width * scale))
        if np.prod(size(*side)) <= MAX_PIXELS:
            return side
    scale = _MIN_SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _canvas(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", (size[1], size[0]), PAPER)


def _scaled(image: Images, side: tuple[int, int]) -> Image.Image:
    pixels = image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # Enlarged pixels stay square, so that nobody takes blur for a defect.
    enlarged = side[0] >= picture.height
    method = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    return picture.resize((side[1], side[0]), method)


def _paragraph(
    draw: ImageDraw.ImageDraw, text: str, corner: tuple[int, int], width: int
) -> None:
    face = font(_TEXT)
    for index, line in enumerate(text.split("\n")):
        at = (corner[0], corner[1] + index * _LINE)
        draw.text(at, shorten(line, face, width), fill=INK, font=face)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _bounded(canvas: Image.Image) -> Images:
    pixels = canvas.width * canvas.height
    if pixels > MAX_PIXELS:
        scale = (MAX_PIXELS / pixels) ** 0.5
        smaller = (
            max(1, int(canvas.width * scale)),
            max(1, int(canvas.height * scale)),
        )
        canvas = canvas.resize(smaller, Image.Resampling.BOX)
    return np.asarray(canvas, dtype=np.uint8).copy()
