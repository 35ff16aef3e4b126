"""The arithmetic of the ops, shared by the executors: tables and affine maps.

Everything reproduces Pillow to the bit: float32 blends that truncate, nearest
sampling in 16.16 fixed point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from uda.augment.ops import OPS

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
FromHistogram = Callable[[Int64], UInt8]

_LEVELS = np.arange(256)
_ROTATE = OPS["Rotate"].id
_SHEAR_X, _SHEAR_Y = OPS["ShearX"].id, OPS["ShearY"].id
_TRANSLATE_X, _TRANSLATE_Y = OPS["TranslateX"].id, OPS["TranslateY"].id


def blend_table(degenerate: int, factor: float) -> UInt8:
    """Table of Pillow's ``Image.blend(flat image, image, factor)``.

    Pillow computes ``a + factor * (b - a)`` in float32 and truncates; outside
    [0, 1] it clips.

    Args:
        degenerate: grey level of the flat image, 0..255.
        factor: of Pillow's ImageEnhance; 1 = unchanged.

    Returns:
        (256,) uint8.
    """
    difference = (_LEVELS - degenerate).astype(np.float32)
    mixed = np.float32(degenerate) + np.float32(factor) * difference
    table: UInt8 = np.clip(mixed, 0, 255).astype(np.uint8)
    return table


def posterize_table(bits: int) -> UInt8:
    """Table that keeps the highest ``bits`` of 8."""
    return (_LEVELS & ~((1 << (8 - bits)) - 1)).astype(np.uint8)


def solarize_table(threshold: int) -> UInt8:
    """Table that inverts levels from ``threshold`` (0..256) on."""
    inverted = 255 - _LEVELS
    return np.where(threshold > _LEVELS, _LEVELS, inverted).astype(np.uint8)


def invert_table() -> UInt8:
    """Table of 255 - v."""
    return (255 - _LEVELS).astype(np.uint8)


def autocontrast_table(histogram: Int64) -> UInt8:
    """Table that stretches a (256,) histogram's range to 0..255, truncating."""
    used = np.flatnonzero(histogram)
    low, high = int(used[0]), int(used[-1])
    if high <= low:
        return _LEVELS.astype(np.uint8)
    scale = 255.0 / (high - low)
    stretched = np.trunc(_LEVELS * scale + (-low * scale))
    table: UInt8 = np.clip(stretched, 0, 255).astype(np.uint8)
    return table


def equalize_table(histogram: Int64) -> UInt8:
    """Table of Pillow's ``ImageOps.equalize`` for a (256,) histogram."""
    used = np.flatnonzero(histogram)
    if used.size <= 1:
        return _LEVELS.astype(np.uint8)
    step = int(histogram.sum() - histogram[used[-1]]) // 255
    if not step:
        return _LEVELS.astype(np.uint8)
    below = np.concatenate([[0], np.cumsum(histogram)[:-1]])
    table: UInt8 = np.clip((step // 2 + below) // step, 0, 255).astype(np.uint8)
    return table


@lru_cache(maxsize=4096)
def affine(
    op_id: int, value: float, height: int, width: int
) -> tuple[int, int, int, int, int, int]:
    """Return Pillow's 16.16 fixed-point map of a geometric op.

    Output pixel (x, y) takes source pixel ``(xx >> 16, yy >> 16)`` with
    ``xx = a2 + a0 * x + a1 * y`` and ``yy = a5 + a3 * x + a4 * y``.

    Args:
        op_id: id of a geometric op.
        value: as in a Plan: shear, whole pixels or degrees, signed.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        (a0, a1, a2, a3, a4, a5).
    """
    a, b, c, d, e, f = _matrix(op_id, value, height, width)
    return (
        _fixed(a), _fixed(b), _fixed(c + a * 0.5 + b * 0.5),
        _fixed(d), _fixed(e), _fixed(f + d * 0.5 + e * 0.5),
    )  # fmt: skip


def _fixed(value: float) -> int:
    return math.floor(value * 65536.0 + 0.5)


def _matrix(
    op_id: int, value: float, height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    if op_id == _SHEAR_X:
        return (1.0, value, 0.0, 0.0, 1.0, 0.0)
    if op_id == _SHEAR_Y:
        return (1.0, 0.0, 0.0, value, 1.0, 0.0)
    if op_id == _TRANSLATE_X:
        return (1.0, 0.0, value, 0.0, 1.0, 0.0)
    if op_id == _TRANSLATE_Y:
        return (1.0, 0.0, 0.0, 0.0, 1.0, value)
    return _rotation(value, height, width)


def _rotation(
    degrees: float, height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    angle = -math.radians(degrees % 360.0)
    # Pillow rounds to 15 digits, so that right angles are whole numbers.
    a, b = round(math.cos(angle), 15), round(math.sin(angle), 15)
    d, e = round(-math.sin(angle), 15), round(math.cos(angle), 15)
    x, y = width / 2, height / 2
    return (a, b, a * -x + b * -y + x, d, e, d * -x + e * -y + y)
