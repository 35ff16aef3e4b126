"""The executor without compiled code: numpy tables, Pillow for what moves pixels.

Always available, and what the compiled kernel must equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from uda.augment import filters, tables
from uda.augment.ops import NAMES, NOT_APPLIED, OPS
from uda.augment.plan import Plan

UInt8 = npt.NDArray[np.uint8]
_IDENTITY = 0
_RESIZED_CROP = OPS["ResizedCrop"].id
_STATIC: dict[str, Callable[[float], UInt8]] = {
    "Invert": lambda value: tables.invert_table(),
    "Posterize": lambda value: tables.posterize_table(int(value)),
    "Solarize": lambda value: tables.solarize_table(int(value)),
    "Brightness": lambda value: tables.blend_table(0, value),
    "SolarizeAdd": lambda value: tables.solarize_add_table(int(value)),
    "Gamma": tables.gamma_table,
    "LogitBrightness": lambda value: tables.logit_table(shift=value),
    "LogitContrast": lambda value: tables.logit_table(factor=value),
}
_ENHANCE = {"Color": ImageEnhance.Color, "Sharpness": ImageEnhance.Sharpness}
_AT_PLACE: dict[str, Callable[[UInt8, float, filters.Float64], UInt8]] = {
    "Noise": filters.add_noise,
    "Illumination": filters.illuminate,
    "Highlight": filters.highlight,
}
_HSV = ("Hue", "Saturation", "Value")
_ADAPTIVE = {
    "AutoContrast": tables.autocontrast_table,
    "Equalize": tables.equalize_table,
}


def apply(plan: Plan, images: UInt8, *, fill: UInt8, out: UInt8) -> None:
    """Execute a plan.

    Args:
        plan: of N views of shape (H, W).
        images: (N, H, W, K) uint8, K in {1, 3}.
        fill: (K,) uint8, written by geometric ops and cutout.
        out: (N, H, W, K) uint8, written.
    """
    maps = tables.matrices(plan)
    for row in range(len(plan)):
        out[row] = _one(plan, row, images[row], maps[row], fill=fill)


def _one(
    plan: Plan, row: int, image: UInt8, maps: filters.Float64, *, fill: UInt8
) -> UInt8:
    if not plan.geometry_last:
        image = _weak(plan, row, image)
    for slot in range(plan.op.shape[1]):
        op_id = int(plan.op[row, slot])
        if op_id not in (NOT_APPLIED, _IDENTITY):
            image = _op(plan, (row, slot), image, maps[slot], fill=fill)
    image = _erase(image, plan.cut[row], fill)
    return _weak(plan, row, image) if plan.geometry_last else image


def _op(
    plan: Plan,
    at: tuple[int, int],
    image: UInt8,
    matrix: filters.Float64,
    *,
    fill: UInt8,
) -> UInt8:
    name, value = NAMES[plan.op[at]], float(plan.value[at])
    if name in _STATIC:
        return _STATIC[name](value)[image]
    if name in _AT_PLACE:
        return _AT_PLACE[name](image, value, plan.place[at])
    if name in _ADAPTIVE:
        return _by_channel(image, _ADAPTIVE[name])
    if name in _ENHANCE:
        return _to_array(_ENHANCE[name](_to_pillow(image)).enhance(value), image)
    if name == "Cutout":
        return _erase(image, plan.box[at], fill)
    if OPS[name].kind == "geometry":
        crop = plan.op[at] == _RESIZED_CROP
        if plan.bilinear or crop:
            return _bilinear(image, matrix, fill, plan.reflect and not crop)
        return _nearest(image, matrix, fill, plan.reflect)
    return _other(name, value, image)


def _other(name: str, value: float, image: UInt8) -> UInt8:
    if name == "Contrast":
        return tables.blend_table(_grey_mean(image), value)[image]
    if name in _HSV:
        return filters.shift_hsv(image, name, value)
    if name == "Blur":
        blur = ImageFilter.GaussianBlur(value)
        return _to_array(_to_pillow(image).filter(blur), image)
    if name == "Jpeg":
        return filters.compress(image, int(value))
    raise ValueError(f"no executor for the op {name}")


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


def _bilinear(
    image: UInt8, matrix: filters.Float64, fill: UInt8, reflect: bool
) -> UInt8:
    if reflect:
        return filters.mirrored_bilinear(image, matrix)
    color = tuple(fill.tolist()) if image.shape[2] == 3 else int(fill[0])
    picture = _to_pillow(image)
    return _to_array(
        picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            tuple(matrix.tolist()),
            resample=Image.Resampling.BILINEAR,
            fillcolor=color,
        ),
        image,
    )


def _nearest(
    image: UInt8, matrix: filters.Float64, fill: UInt8, reflect: bool
) -> UInt8:
    """Sample the nearest source pixel on Pillow's fixed-point grid."""
    height, width, _ = image.shape
    a0, a1, a2, a3, a4, a5 = tables.fixed_point(matrix)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    source_x = (a2 + a0 * x + a1 * y) >> 16
    source_y = (a5 + a3 * x + a4 * y) >> 16
    if reflect:
        return image[filters.fold(source_y, height), filters.fold(source_x, width)]
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
