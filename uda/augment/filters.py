"""The filters that Pillow lacks, as plain numpy: HSV shifts, noise, light, mirrors.

All arithmetic is float64 in a fixed order, which the compiled executor repeats.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.augment.tables import rounded, value_table

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def shift_hsv(image: UInt8, name: str, shift: float) -> UInt8:
    """Shift the hue, the saturation or the value of an image.

    Args:
        image: (H, W, K) uint8. A grey one (K = 1) has only a value.
        name: "Hue", "Saturation" or "Value".
        shift: degrees for the hue, which wraps; else a fraction of the range, at
            whose ends it stops.

    Returns:
        (H, W, K) uint8.
    """
    if image.shape[2] == 1:
        return value_table(shift)[image] if name == "Value" else image
    hue, saturation, value = _to_hsv(image / 255.0)
    if name == "Hue":
        hue = hue + shift / 360.0
        hue -= np.floor(hue)
    elif name == "Saturation":
        saturation = np.clip(saturation + shift, 0.0, 1.0)
    else:
        value = np.clip(value + shift, 0.0, 1.0)
    return rounded(255.0 * _to_rgb(hue, saturation, value))


def _to_hsv(colors: Float64) -> tuple[Float64, Float64, Float64]:
    """Return the planes that Python's colorsys gives for (H, W, 3) colours."""
    high, low = colors.max(axis=-1), colors.min(axis=-1)
    flat = high == low
    span = np.where(flat, 1.0, high - low)
    to_red, to_green, to_blue = np.moveaxis(
        (high[..., None] - colors) / span[..., None], -1, 0
    )
    hue = np.where(
        colors[..., 0] == high,
        to_blue - to_green,
        np.where(
            colors[..., 1] == high, 2.0 + to_red - to_blue, 4.0 + to_green - to_red
        ),
    )
    hue /= 6.0
    hue -= np.floor(hue)
    saturation = span / np.where(flat, 1.0, high)
    return np.where(flat, 0.0, hue), np.where(flat, 0.0, saturation), high


def _to_rgb(hue: Float64, saturation: Float64, value: Float64) -> Float64:
    sector = (hue * 6.0).astype(np.int64)
    f = hue * 6.0 - sector
    p = value * (1.0 - saturation)
    q = value * (1.0 - saturation * f)
    t = value * (1.0 - saturation * (1.0 - f))
    wheel = [
        (value, t, p), (q, value, p), (p, value, t),
        (p, q, value), (t, p, value), (value, p, q),
    ]  # fmt: skip
    sector %= 6
    planes = [np.choose(sector, [kind[k] for kind in wheel]) for k in range(3)]
    flat = saturation == 0.0
    return np.stack([np.where(flat, value, plane) for plane in planes], axis=-1)


def add_noise(image: UInt8, deviation: float, place: Float64) -> UInt8:
    """Add noise: a sum of four uniform numbers for each value.

    They are the 16-bit parts of the outputs of splitmix64 (Steele, Lea and Flood,
    OOPSLA 2014) from a state made of the place, value by value, channels last.

    Args:
        image: (H, W, K) uint8.
        deviation: standard deviation, grey levels.
        place: (2,) in [0, 1), multiples of 2**-32.

    Returns:
        (H, W, K) uint8.
    """
    high, low = (int(number * 2**32) for number in place)
    counter = np.arange(1, image.size + 1, dtype=np.uint64)
    word = np.uint64(high << 32 | low) + counter * _GOLDEN
    for bits, factor in _MIX:
        word = (word ^ (word >> bits)) * factor
    word ^= word >> np.uint64(31)
    parts = [(word >> np.uint64(bits)) & np.uint64(65535) for bits in (0, 16, 32, 48)]
    total = np.sum(parts, axis=0, dtype=np.int64).reshape(image.shape)
    return rounded(image + deviation * (total - 131070.0) / 37837.2)


def illuminate(image: UInt8, gain: float, place: Float64) -> UInt8:
    """Multiply by 1 - gain .. 1 + gain, linear across the image.

    Args:
        image: (H, W, K) uint8.
        gain: at the farthest pixel in the direction.
        place: (2,) in [0, 1); the first is the direction, in turns.

    Returns:
        (H, W, K) uint8.
    """
    cosine, sine = direction(place)
    half_y, half_x = ((side - 1.0) / 2.0 for side in image.shape[:2])
    reach = abs(cosine) * half_x + abs(sine) * half_y
    y = np.arange(image.shape[0])[:, None] - half_y
    x = np.arange(image.shape[1])[None, :] - half_x
    t = (x * cosine + y * sine) / reach if reach != 0.0 else np.zeros(y.shape)
    return rounded(image * (1.0 + gain * t)[..., None])


def direction(place: Float64) -> tuple[float, float]:
    """Return cosine and sine of the direction that a place stands for."""
    angle = 2.0 * np.pi * float(place[0])
    return float(np.cos(angle)), float(np.sin(angle))


def highlight(image: UInt8, strength: float, place: Float64) -> UInt8:
    """Move levels towards white around a place, as a lamp's reflection does.

    Args:
        image: (H, W, K) uint8.
        strength: 1 makes its centre white.
        place: (2,) its centre as fractions of height and width. At a quarter of
            the shorter side from it, a quarter of the strength is left.

    Returns:
        (H, W, K) uint8.
    """
    height, width, _ = image.shape
    radius = min(height, width) / 4.0
    dy = np.arange(height)[:, None] + 0.5 - place[0] * height
    dx = np.arange(width)[None, :] + 0.5 - place[1] * width
    fall = 1.0 + (dy * dy + dx * dx) / (radius * radius)
    weight = (strength / (fall * fall))[..., None]
    return rounded(image + (255.0 - image) * weight)


def compress(image: UInt8, quality: int) -> UInt8:
    """Write an image (H, W, K) as JPEG with Pillow and read it again."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    with io.BytesIO() as file:
        picture.save(file, format="JPEG", quality=quality)
        with Image.open(file) as again:
            return np.array(again, dtype=np.uint8).reshape(image.shape)


def fold(index: Int64, side: int) -> Int64:
    """Return indices of an image that goes on by reflection, without its edge."""
    index = index % max(2 * (side - 1), 1)
    return np.where(index >= side, 2 * (side - 1) - index, index)


def mirrored_bilinear(image: UInt8, matrix: Float64) -> UInt8:
    """Sample the image continued by reflection; truncates like Pillow.

    Args:
        image: (H, W, K) uint8.
        matrix: (6,) as in ``tables.matrices``.

    Returns:
        (H, W, K) uint8.
    """
    height, width, _ = image.shape
    a, b, c, d, e, f = matrix.tolist()
    y, x = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    source_x, source_y = a * x + b * y + c - 0.5, d * x + e * y + f - 0.5
    left, up = (np.floor(s).astype(np.int64) for s in (source_x, source_y))
    dx, dy = (source_x - left)[..., None], (source_y - up)[..., None]
    columns = fold(left, width), fold(left + 1, width)
    rows = fold(up, height), fold(up + 1, height)
    level = image.astype(np.float64)
    lines = []
    for row in rows:
        first, second = level[row, columns[0]], level[row, columns[1]]
        lines.append(first + (second - first) * dx)
    result: UInt8 = (lines[0] + (lines[1] - lines[0]) * dy).astype(np.uint8)
    return result
