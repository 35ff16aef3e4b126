"""The ops that change levels, in torch: images in, images of the same shape out.

Each formula is that of `fallback`, in the same order of the same operations.
Constants to divide by are tensors on the device: torch turns a division by a
Python number into a multiplication with its reciprocal, which rounds elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uda.augment import tables
from uda.augment.ops import OPS

Put = Callable[[npt.NDArray[np.generic]], Tensor]
Float64 = npt.NDArray[np.float64]

_GREY = (19595, 38470, 7471)
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True)
class Rows:
    """What the plan says of the n images that get an op.

    Attributes:
        value: (n,) magnitudes.
        box: (n, 4) int32.
        maps: (n, 6) float64 of `tables.matrices`.
        place: (n, 2).
        put: copies an array to the device.
    """

    value: Float64
    box: npt.NDArray[np.int32]
    maps: Float64
    place: Float64
    put: Put

    def magnitudes(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """(n, 1, 1, 1) on the device."""
        return self.column(self.value).to(dtype)

    def column(self, numbers: npt.NDArray[np.generic]) -> Tensor:
        """Copy (n,) numbers to the device as (n, 1, 1, 1)."""
        return self.put(numbers).view(-1, 1, 1, 1)


Execute = Callable[[Tensor, Rows], Tensor]


def _number(value: float, like: Tensor) -> Tensor:
    """A float64 divisor on the device, made there."""
    return torch.full((), value, dtype=torch.float64, device=like.device)


def _blend(flat: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Pillow's float32 blend: truncated, then clipped."""
    start = flat.float()
    return (start + factor * (images.float() - start)).clamp_(0, 255).to(torch.uint8)


def _levels(numbers: Tensor) -> Tensor:
    """Round half up and clip to 0..255."""
    return (numbers + 0.5).floor_().clamp_(0, 255).to(torch.uint8)


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    """Look (n, K, H, W) levels up in tables (n, K or 1, 256)."""
    n, channels = images.shape[:2]
    index = images.flatten(2).long()
    return table.expand(n, channels, 256).gather(2, index).view_as(images)


def _grey(images: Tensor) -> Tensor:
    """Pillow's 8-bit grey (n, 1, H, W), int32."""
    if images.shape[1] == 1:
        return images.int()
    red, green, blue = (images[:, k : k + 1].int() for k in range(3))
    return (red * _GREY[0] + green * _GREY[1] + blue * _GREY[2] + 0x8000) >> 16


def _invert(images: Tensor, rows: Rows) -> Tensor:
    return 255 - images


def _posterize(images: Tensor, rows: Rows) -> Tensor:
    mask = 256 - (1 << (8 - rows.value.astype(np.int64)))
    return images & rows.column(mask.astype(np.uint8))


def _solarize(images: Tensor, rows: Rows) -> Tensor:
    level = rows.column(rows.value.astype(np.int16))
    return torch.where(images < level, images, 255 - images)


def _solarize_add(images: Tensor, rows: Rows) -> Tensor:
    raised = images + rows.column(rows.value.astype(np.int16))
    return torch.where(images < 128, raised.clamp_(max=255), images).to(torch.uint8)


def _brightness(images: Tensor, rows: Rows) -> Tensor:
    return _blend(torch.zeros_like(images), images, rows.magnitudes(torch.float32))


def _contrast(images: Tensor, rows: Rows) -> Tensor:
    grey = _grey(images)
    count = grey[0].numel()
    total = grey.sum(dim=(1, 2, 3), dtype=torch.int64)
    mean = (2 * total + count).div(2 * count, rounding_mode="floor")
    return _blend(mean.view(-1, 1, 1, 1), images, rows.magnitudes(torch.float32))


def _color(images: Tensor, rows: Rows) -> Tensor:
    return _blend(_grey(images), images, rows.magnitudes(torch.float32))


def _autocontrast(images: Tensor, rows: Rows) -> Tensor:
    low = images.amin((2, 3)).double()[..., None]
    high = images.amax((2, 3)).double()[..., None]
    scale = _number(255.0, images) / (high - low).clamp(min=1)
    level = torch.arange(256, dtype=torch.float64, device=images.device)
    stretched = level * scale + (-low * scale)
    table = torch.where(high > low, stretched.clamp(0, 255), level)
    return _look_up(images, table.to(torch.uint8))


def _equalize(images: Tensor, rows: Rows) -> Tensor:
    index = images.flatten(2).long()
    shape = (*index.shape[:2], 256)
    counts = torch.zeros(shape, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, index, torch.ones_like(index))
    level = torch.arange(256, device=images.device)
    last = torch.where(counts > 0, level, 0).amax(2, keepdim=True)
    step = (index.shape[2] - counts.gather(2, last)).div(255, rounding_mode="floor")
    below = counts.cumsum(2) - counts
    half = step.div(2, rounding_mode="floor")
    table = (half + below).div(step.clamp(min=1), rounding_mode="floor")
    table = torch.where(step > 0, table.clamp(max=255), level)
    return _look_up(images, table.to(torch.uint8))


def _curve(make: Callable[[float], npt.NDArray[np.uint8]]) -> Execute:
    """An op whose table depends on its magnitude alone: made on the host."""

    def execute(images: Tensor, rows: Rows) -> Tensor:
        made = np.stack([make(value) for value in rows.value.tolist()])
        return _look_up(images, rows.put(made[:, None]))

    return execute


def _sharpness(images: Tensor, rows: Rows) -> Tensor:
    """Blend with Pillow's SMOOTH, whose border is the image's own."""
    height, width = images.shape[2:]
    if height < 3 or width < 3:
        return images
    whole = images.int()
    across = whole[..., :-2] + whole[..., 1:-1] + whole[..., 2:]
    total = across[:, :, :-2] + across[:, :, 1:-1] + across[:, :, 2:]
    total += 4 * whole[:, :, 1:-1, 1:-1]
    # Pillow sums floats and rounds; 13 is odd, so there are no ties.
    smooth = (2 * total + 13).div(26, rounding_mode="floor")
    views = images.clone()
    inner = images[:, :, 1:-1, 1:-1]
    views[:, :, 1:-1, 1:-1] = _blend(smooth, inner, rows.magnitudes(torch.float32))
    return views


def _blur(images: Tensor, rows: Rows) -> Tensor:
    """Pillow's GaussianBlur: three extended box blurs along each axis."""
    boxes = [tables.blur_box(value) for value in rows.value.tolist()]
    radius, whole, part = rows.put(np.array(boxes, np.int64).T).view(3, -1, 1, 1, 1)
    levels = images.long()
    for _ in range(3):
        levels = _box(levels, radius, whole, part)
    levels = levels.transpose(2, 3)
    for _ in range(3):
        levels = _box(levels, radius, whole, part)
    return levels.transpose(2, 3).to(torch.uint8)


def _box(levels: Tensor, radius: Tensor, whole: Tensor, part: Tensor) -> Tensor:
    """One extended box blur along the last axis, in 8.24 fixed point."""
    last = levels.shape[3] - 1
    x = torch.arange(last + 1, device=levels.device).view(1, 1, 1, -1)
    low, high = x - radius, x + radius

    def at(index: Tensor, source: Tensor) -> Tensor:
        return source.gather(3, index.clamp(0, last).expand_as(source))

    # The window's sum from sums up to each pixel; what hangs over the edge
    # repeats the pixel there.
    sums = levels.cumsum(3)
    total = at(high, sums) - at(low, sums) + at(low, levels)
    total += (-low).clamp(min=0) * levels[..., :1]
    total += (high - last).clamp(min=0) * levels[..., -1:]
    ends = at(low - 1, levels) + at(high + 1, levels)
    return (total * whole + ends * part + (1 << 23)) >> 24


def _noise(images: Tensor, rows: Rows) -> Tensor:
    """Add sums of four uniform numbers of 16 bits from a counter-based generator."""
    words = (rows.place * 2.0**32).astype(np.uint64)
    key = (words[:, 0] << np.uint64(32)) | words[:, 1]
    channels, height, width = images.shape[1:]
    count = torch.arange(1, height * width * channels + 1, device=images.device)
    order = count.view(1, height, width, channels).permute(0, 3, 1, 2)
    word = rows.column(key.view(np.int64)) + order * _signed(_GOLDEN)
    word = (word ^ _shift(word, 30)) * _signed(_MIX_1)
    word = (word ^ _shift(word, 27)) * _signed(_MIX_2)
    word = word ^ _shift(word, 31)
    total = sum(((word >> bits) & 65535 for bits in (16, 32, 48)), word & 65535)
    step = rows.magnitudes() * (total - 131070).double() / _number(37837.2, images)
    return _levels(images.double() + step)


def _signed(word: int) -> int:
    """The int64 of the same 64 bits; products wrap around alike."""
    return word - (1 << 64) if word >> 63 else word


def _shift(word: Tensor, bits: int) -> Tensor:
    """Shift to the right as if unsigned."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _illumination(images: Tensor, rows: Rows) -> Tensor:
    height, width = images.shape[2:]
    angle = [2.0 * math.pi * place for place in rows.place[:, 0].tolist()]
    cosine = np.array([math.cos(a) for a in angle])
    sine = np.array([math.sin(a) for a in angle])
    half_y, half_x = (height - 1) / 2, (width - 1) / 2
    reach = np.abs(cosine) * half_x + np.abs(sine) * half_y
    y = torch.arange(height, dtype=torch.float64, device=images.device) - half_y
    x = torch.arange(width, dtype=torch.float64, device=images.device) - half_x
    along = x * rows.column(cosine) + y[:, None] * rows.column(sine)
    # Where the reach is 0, so is the dividend.
    t = along / rows.column(np.where(reach == 0, 1.0, reach))
    return _levels(images.double() * (1.0 + rows.magnitudes() * t))


def _highlight(images: Tensor, rows: Rows) -> Tensor:
    height, width = images.shape[2:]
    radius = min(height, width) / 4.0
    y = torch.arange(height, dtype=torch.float64, device=images.device) + 0.5
    x = torch.arange(width, dtype=torch.float64, device=images.device) + 0.5
    dy = y[:, None] - rows.column(rows.place[:, 0] * height)
    dx = x - rows.column(rows.place[:, 1] * width)
    fall = 1.0 + (dy * dy + dx * dx) / _number(radius * radius, images)
    weight = rows.magnitudes() / (fall * fall)
    level = images.double()
    return _levels(level + (255.0 - level) * weight)


def _hue(images: Tensor, rows: Rows) -> Tensor:
    hue, saturation, value = _to_hsv(images)
    hue = hue + rows.column(rows.value / 360.0)[:, 0]
    return _levels(255.0 * _to_rgb(hue - hue.floor(), saturation, value))


def _saturation(images: Tensor, rows: Rows) -> Tensor:
    hue, saturation, value = _to_hsv(images)
    saturation = (saturation + rows.magnitudes()[:, 0]).clamp(0, 1)
    return _levels(255.0 * _to_rgb(hue, saturation, value))


def _value(images: Tensor, rows: Rows) -> Tensor:
    if images.shape[1] == 1:
        return _levels(images.double() + 255.0 * rows.magnitudes())
    hue, saturation, value = _to_hsv(images)
    value = (value + rows.magnitudes()[:, 0]).clamp(0, 1)
    return _levels(255.0 * _to_rgb(hue, saturation, value))


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value (n, H, W) in 0..1: the formulas of colorsys."""
    colors = images.double() / _number(255.0, images)
    high, low = colors.amax(1), colors.amin(1)
    span = high - low
    flat = span == 0
    red, green, blue = (
        ((high - colors[:, k]) / torch.where(flat, 1.0, span)) for k in range(3)
    )
    hue = torch.where(
        colors[:, 0] == high,
        blue - green,
        torch.where(colors[:, 1] == high, 2.0 + red - blue, 4.0 + green - red),
    ) / _number(6.0, images)
    hue = torch.where(flat, 0.0, hue - hue.floor())
    return hue, span / torch.where(flat, 1.0, high), high


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours (n, 3, H, W) in 0..1."""
    sector = (hue * 6.0).floor()
    f = hue * 6.0 - sector
    p = value * (1.0 - saturation)
    q = value * (1.0 - saturation * f)
    t = value * (1.0 - saturation * (1.0 - f))
    sector = sector.long().remainder(6)[:, None]
    # The six sectors' choices for red; green and blue follow 4 and 2 sectors on.
    choices = torch.stack([value, q, p, p, t, value], 1)
    return torch.cat(
        [choices.gather(1, (sector + turn).remainder(6)) for turn in (0, 4, 2)], 1
    )


_BY_NAME: dict[str, Execute] = {
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
    "Invert": _invert,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "Brightness": _brightness,
    "Contrast": _contrast,
    "Color": _color,
    "Sharpness": _sharpness,
    "SolarizeAdd": _solarize_add,
    "Gamma": _curve(tables.gamma_table),
    "LogitBrightness": _curve(lambda value: tables.logit_table(shift=value)),
    "LogitContrast": _curve(lambda value: tables.logit_table(factor=value)),
    "Hue": _hue,
    "Saturation": _saturation,
    "Value": _value,
    "Blur": _blur,
    "Noise": _noise,
    "Illumination": _illumination,
    "Highlight": _highlight,
}
BY_ID = {OPS[name].id: function for name, function in _BY_NAME.items()}
