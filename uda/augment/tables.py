"""The arithmetic of the ops, shared by the executors: tables and affine maps.

What Pillow has is reproduced to the bit: float32 blends that truncate, nearest
sampling in 16.16 fixed point, bilinear sampling in double coordinates, blurs by
extended boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.ops import OPS
from uda.augment.plan import Plan

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
FromHistogram = Callable[[Int64], UInt8]

_LEVELS = np.arange(256)
_ROTATE = OPS["Rotate"].id
_SHEAR_X, _SHEAR_Y = OPS["ShearX"].id, OPS["ShearY"].id
_TRANSLATE_X, _TRANSLATE_Y = OPS["TranslateX"].id, OPS["TranslateY"].id
_RESIZED_CROP = OPS["ResizedCrop"].id
_WORD = 2**32


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


def solarize_add_table(addition: int) -> UInt8:
    """Table that adds ``addition`` levels to those below 128, clipped."""
    added = np.minimum(_LEVELS + addition, 255)
    return np.where(_LEVELS < 128, added, _LEVELS).astype(np.uint8)


def gamma_table(exponent: float) -> UInt8:
    """Table of levels**exponent on 0..1, rounded half up."""
    return rounded(255 * (_LEVELS / 255) ** exponent)


def logit_table(*, shift: float = 0.5, factor: float = 1.0) -> UInt8:
    """Table of sigmoid(factor * logit(level) + logit(shift)), rounded half up.

    fastai's Brightness adds the logit of ``shift`` (.5 adds nothing), its
    Contrast multiplies by ``factor``. Black and white count as 1e-7 and 1 - 1e-7.
    """
    share = np.clip(_LEVELS / 255, 1e-7, 1 - 1e-7)
    logits = factor * np.log(share / (1 - share)) + math.log(shift / (1 - shift))
    return rounded(255 / (1 + np.exp(-logits)))


def value_table(shift: float) -> UInt8:
    """Table of grey levels shifted by a fraction of their range."""
    return rounded(_LEVELS + 255 * shift)


def rounded(levels: npt.NDArray[np.floating[Any]]) -> UInt8:
    """Round levels half up and clip them to 0..255."""
    result: UInt8 = np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)
    return result


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


def blur_box(deviation: float) -> tuple[int, int, int]:
    """Return the extended box whose threefold blur is Pillow's GaussianBlur.

    Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended
    box filtering" (SSVM 2011), in Pillow's mixture of float32 and float64.

    Args:
        deviation: standard deviation, pixels.

    Returns:
        (radius, weight, edge): pixels up to ``radius`` away count ``weight``, the
        two next to them ``edge``, in units of 2**-24.
    """
    single = np.float32
    variance = single(single(deviation) * single(deviation)) / single(3)
    length = single(math.sqrt(12.0 * float(variance) + 1.0))
    inner = single(math.floor((float(length) - 1.0) / 2.0))
    rest = (2 * inner + 1) * (inner * (inner + 1) - 3 * variance)
    rest /= 6 * (variance - (inner + 1) * (inner + 1))
    radius = single(inner + rest)
    whole = int(radius)
    weight = int(single(1 << 24) / single(radius * 2 + 1))
    return whole, weight, ((1 << 24) - (2 * whole + 1) * weight) % _WORD // 2


def matrices(plan: Plan) -> Float64:
    """Return where the pixels of each geometric op of a plan come from.

    Output pixel (x, y) is read at ``x_src = a * (x + .5) + b * (y + .5) + c`` and
    ``y_src = d * (x + .5) + e * (y + .5) + f``, in pixels whose centres lie at .5.

    Args:
        plan: of N views.

    Returns:
        (N, slots, 6) float64 a, b, c, d, e, f; the identity for other ops.
    """
    height, width = plan.shape
    op, value = plan.op, plan.value
    maps = np.zeros((*op.shape, 6))
    maps[..., 0] = maps[..., 4] = 1.0
    for code, column in (
        (_SHEAR_X, 1), (_SHEAR_Y, 3), (_TRANSLATE_X, 2), (_TRANSLATE_Y, 5),
    ):  # fmt: skip
        maps[..., column] += np.where(op == code, value, 0.0)
    turning = op == _ROTATE
    if turning.any():
        degrees, which = np.unique(value[turning], return_inverse=True)
        kinds = [_rotation(angle, height, width) for angle in degrees.tolist()]
        maps[turning] = np.array(kinds)[which]
    crop = op == _RESIZED_CROP
    if crop.any():
        factor, (top, left) = np.sqrt(value[crop]), plan.place[crop].T
        zero = np.zeros_like(factor)
        x, y = left * (width - factor * width), top * (height - factor * height)
        maps[crop] = np.stack([factor, zero, x, zero, factor, y], axis=-1)
    return maps


def fixed_point(maps: Float64) -> Int64:
    """Return maps as Pillow samples the nearest pixel by them: in 16.16 fixed point.

    Output pixel (x, y) takes source pixel ``(xx >> 16, yy >> 16)`` with
    ``xx = c + a * x + b * y`` and ``yy = f + d * x + e * y``.

    Args:
        maps: (..., 6) as ``matrices`` gives them.

    Returns:
        (..., 6) a, b, c, d, e, f of whole pixel numbers, in units of 2**-16.
    """
    moved = maps.copy()
    moved[..., [2, 5]] += maps[..., [0, 3]] * 0.5
    moved[..., [2, 5]] += maps[..., [1, 4]] * 0.5
    return np.floor(moved * 65536.0 + 0.5).astype(np.int64)


def _rotation(
    degrees: float, height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    a, b = rotation(degrees)
    x, y = width / 2, height / 2
    return (a, b, a * -x + b * -y + x, -b, a, -b * -x + a * -y + y)


@lru_cache(maxsize=4096)
def rotation(degrees: float) -> tuple[float, float]:
    """Return the cosine and sine of Pillow's rotation matrix.

    Pillow rounds them to 15 digits, so that right angles are whole numbers.
    """
    angle = -math.radians(degrees % 360.0)
    return round(math.cos(angle), 15), round(math.sin(angle), 15)
