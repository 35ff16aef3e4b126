"""The executor without compiled code: numpy tables, Pillow for what moves pixels.

Always available, and what the compiled kernel must equal bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from uda.augment import tables
from uda.augment.ops import NAMES, NOT_APPLIED
from uda.augment.plan import Plan

UInt8 = npt.NDArray[np.uint8]
_IDENTITY = 0
_STATIC = {
    "Invert": lambda value: tables.invert_table(),
    "Posterize": lambda value: tables.posterize_table(int(value)),
    "Solarize": lambda value: tables.solarize_table(int(value)),
    "Brightness": lambda value: tables.blend_table(0, value),
}
_ENHANCE = {"Color": ImageEnhance.Color, "Sharpness": ImageEnhance.Sharpness}


def apply(plan: Plan, images: UInt8, *, fill: UInt8, out: UInt8) -> None:
    """Execute a plan.

    Args:
        plan: of N views of shape (H, W).
        images: (N, H, W, K) uint8, K in {1, 3}.
        fill: (K,) uint8, written by geometric ops and cutout.
        out: (N, H, W, K) uint8, written.
    """
    for row in range(len(plan)):
        out[row] = _one(plan, row, images[row], fill)


def _one(plan: Plan, row: int, image: UInt8, fill: UInt8) -> UInt8:
    if not plan.geometry_last:
        image = _weak(plan, row, image)
    for slot in range(plan.op.shape[1]):
        op_id = int(plan.op[row, slot])
        if op_id not in (NOT_APPLIED, _IDENTITY):
            image = _op(plan, (row, slot), image, fill)
    image = _erase(image, plan.cut[row], fill)
    return _weak(plan, row, image) if plan.geometry_last else image


def _op(plan: Plan, at: tuple[int, int], image: UInt8, fill: UInt8) -> UInt8:
    name, value = NAMES[plan.op[at]], float(plan.value[at])
    if name in _STATIC:
        return _STATIC[name](value)[image]
    if name == "Contrast":
        return tables.blend_table(_grey_mean(image), value)[image]
    if name == "AutoContrast":
        return _by_channel(image, tables.autocontrast_table)
    if name == "Equalize":
        return _by_channel(image, tables.equalize_table)
    if name in _ENHANCE:
        return _to_array(_ENHANCE[name](_to_pillow(image)).enhance(value), image)
    if name == "Cutout":
        return _erase(image, plan.box[at], fill)
    return _move(int(plan.op[at]), value, image, fill)


def _by_channel(image: UInt8, build: tables.FromHistogram) -> UInt8:
    result = np.empty_like(image)
    for k in range(image.shape[2]):
        plane = image[:, :, k]
        histogram = np.bincount(plane.ravel(), minlength=256)
        result[:, :, k] = build(histogram)[plane]
    return result


def _grey_mean(image: UInt8) -> int:
    """Return the mean of Pillow's 8-bit grey, rounded half up."""
    grey = np.asarray(_to_pillow(image).convert("L"))
    return int(int(grey.sum(dtype=np.int64)) / grey.size + 0.5)


def _move(op_id: int, value: float, image: UInt8, fill: UInt8) -> UInt8:
    """Sample the nearest source pixel on Pillow's fixed-point grid."""
    height, width, _ = image.shape
    a0, a1, a2, a3, a4, a5 = tables.affine(op_id, value, height, width)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    source_x = (a2 + a0 * x + a1 * y) >> 16
    source_y = (a5 + a3 * x + a4 * y) >> 16
    known = (source_x >= 0) & (source_x < width)
    known &= (source_y >= 0) & (source_y < height)
    result = np.empty_like(image)
    result[:] = fill
    result[known] = image[source_y[known], source_x[known]]
    return result


def _erase(image: UInt8, box: npt.NDArray[np.int32], fill: UInt8) -> UInt8:
    y0, x0, y1, x1 = (int(edge) for edge in box)
    if y1 <= y0 or x1 <= x0:
        return image
    image = image.copy()
    image[y0:y1, x0:x1] = fill
    return image


def _weak(plan: Plan, row: int, image: UInt8) -> UInt8:
    """Quarter turns, then flips, then the crop of the reflect-padded image."""
    image = np.rot90(image, int(plan.turns[row]))
    if plan.hflip[row]:
        image = image[:, ::-1]
    if plan.vflip[row]:
        image = image[::-1]
    dy, dx = int(plan.dy[row]), int(plan.dx[row])
    if dy:
        image = image[_reflected(dy, image.shape[0])]
    if dx:
        image = image[:, _reflected(dx, image.shape[1])]
    return np.ascontiguousarray(image)


def _reflected(shift: int, side: int) -> npt.NDArray[np.int64]:
    """Source index of each position when the crop is moved by ``shift``."""
    index = np.abs(np.arange(side) + shift)
    return np.where(index < side, index, 2 * (side - 1) - index)


def _to_pillow(image: UInt8) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _to_array(picture: Image.Image, like: UInt8) -> UInt8:
    return np.asarray(picture, dtype=np.uint8).reshape(like.shape)
