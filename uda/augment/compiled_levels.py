"""Compiled grey levels: tables, histograms, and passes that look levels up.

Part of the compiled executor; `compiled` says how its indices and types are kept.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from uda.augment.ops import OPS

U = np.uint64
F = np.float32
I32 = np.int32
ID = {name: op.id for name, op in OPS.items()}
U0, U1, U2, U3, U256 = U(0), U(1), U(2), U(3), U(256)
U512 = U(512)

# With Python's error model each division is a branch that may raise. Without
# numba's run time (_nrt) nothing can be allocated, and slices need no counting of
# references, which costs more than moving a short row.
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
jit: Callable[..., Any] = numba.njit
helper = jit(**OPTIONS)

_AUTOCONTRAST, _EQUALIZE, _CONTRAST = ID["AutoContrast"], ID["Equalize"], ID["Contrast"]
_INVERT, _POSTERIZE, _SOLARIZE = ID["Invert"], ID["Posterize"], ID["Solarize"]
_BRIGHTNESS, _SOLARIZE_ADD = ID["Brightness"], ID["SolarizeAdd"]


@helper
def blend(degenerate, level, factor):
    """Pillow's float32 blend of two int32 levels, clipped and truncated."""
    mixed = F(degenerate) + factor * F(I32(level - degenerate))
    return np.uint8(I32(min(max(mixed, F(0)), F(255))))


@helper
def grey(red, green, blue):
    """Pillow's 8-bit grey of a colour."""
    total = I32(I32(red) * I32(19595)) + I32(I32(green) * I32(38470))
    return I32(I32(I32(total) + I32(I32(blue) * I32(7471) + I32(0x8000))) >> I32(16))


@helper
def reset(lut):
    """Make ``lut`` change nothing."""
    for i in range(U(lut.size)):
        lut[i] = np.uint8(i & U(255))


@helper
def copy(src, dst):
    """Write src to dst; a slice assignment would look for overlaps first."""
    for i in range(U(dst.size)):
        dst[i] = src[i]


@helper
def look_up(src, dst, lut, channels):
    """Write lut[src] to dst, channel by channel."""
    size = U(src.size)
    if channels == U1:
        for i in range(size):
            dst[i] = lut[src[i]]
        return
    for i in range(U0, size, U3):
        dst[i] = lut[src[i]]
        dst[i + U1] = lut[U256 + src[i + U1]]
        dst[i + U2] = lut[U512 + src[i + U2]]


@helper
def normalize(src, view, table, channels):
    """Write the planes (K, H, W) that ``table`` (K * 256,) makes of pixels."""
    pixels = U(src.size) // channels
    if channels == U1:
        for i in range(pixels):
            view[i] = table[src[i]]
        return
    for i in range(pixels):
        view[i] = table[src[U3 * i]]
        view[pixels + i] = table[U256 + src[U3 * i + U1]]
        view[U2 * pixels + i] = table[U512 + src[U3 * i + U2]]


@helper
def _grey_mean(src, channels):
    total = np.int64(0)
    pixels = U(src.size) // channels
    if channels == U1:
        for i in range(pixels):
            total += np.int64(src[i])
    else:
        for i in range(pixels):
            total += np.int64(grey(src[U3 * i], src[U3 * i + U1], src[U3 * i + U2]))
    return np.int64(total / pixels + 0.5)


@helper
def _extremes(src, pitch, low, high):
    """Lowest and highest level of each column of a row's values, (pitch,) each."""
    copy(src[:pitch], low)
    copy(src[:pitch], high)
    for start in range(pitch, U(src.size), pitch):
        for i in range(pitch):
            level = src[start + i]
            low[i] = min(low[i], level)
            high[i] = max(high[i], level)


@helper
def _autocontrast(src, size, lines, tables):
    """Tables (K * 256,) that stretch each channel's range to 0..255."""
    channels = size[2]
    pitch = size[1] * channels
    lows, highs = lines[:pitch], lines[pitch : U2 * pitch]
    _extremes(src, pitch, lows, highs)
    for k in range(channels):
        low, high = np.int64(255), np.int64(0)
        for i in range(k, pitch, channels):
            low = min(low, np.int64(lows[i]))
            high = max(high, np.int64(highs[i]))
        scale, offset = 1.0, 0.0
        if high > low:
            scale = 255.0 / (high - low)
            offset = -low * scale
        for level in range(U256):
            stretched = np.float64(I32(level)) * scale + offset
            table_level = I32(min(max(stretched, 0.0), 255.0))
            tables[k * U256 + level] = np.uint8(table_level)


@helper
def _count(src, channels, counts):
    """Histograms (2 * K * 256,): even and odd pixels apart.

    Neighbours are often equal, and adding twice to one counter makes the second
    wait for the first.
    """
    odd = channels * U256
    for i in range(U2 * odd):
        counts[i] = 0
    pair = U2 * channels
    whole = U(src.size) // pair * pair
    if channels == U1:
        for i in range(U0, whole, U2):
            counts[src[i]] += I32(1)
            counts[odd + src[i + U1]] += I32(1)
    else:
        for i in range(U0, whole, pair):
            counts[src[i]] += I32(1)
            counts[U256 + src[i + U1]] += I32(1)
            counts[U512 + src[i + U2]] += I32(1)
            counts[odd + src[i + U3]] += I32(1)
            counts[odd + U256 + src[i + U3 + U1]] += I32(1)
            counts[odd + U512 + src[i + U3 + U2]] += I32(1)
    for i in range(whole, U(src.size)):
        counts[(i - whole) * U256 + src[i]] += I32(1)


@helper
def _flatten(histogram, table):
    """Pillow's equalising table (256,) of a histogram, which is used up."""
    last = U(255)
    while histogram[last] == 0:
        last -= U1
    total = np.int64(0)
    for level in range(U256):
        total += histogram[level]
    step = (total - histogram[last]) // 255
    if step == 0:
        for level in range(U256):
            table[level] = np.uint8(level)
        return
    below = I32(step // 2)
    for level in range(U256):
        number = histogram[level]
        histogram[level] = below
        below += number
    # Exact in float64 up to 2**53, and eight divisions at once.
    divisor = np.float64(step)
    for level in range(U256):
        table[level] = np.uint8(I32(min(histogram[level] / divisor, 255.0)))


@helper
def _equalize(src, lut, fresh, channels, counts, tables):
    """Tables (K * 256,) that flatten each channel's histogram after ``lut``."""
    odd = channels * U256
    _count(src, channels, counts)
    histogram = counts[U2 * odd : U2 * odd + U256]
    for k in range(channels):
        base = k * U256
        if fresh:
            for i in range(U256):
                histogram[i] = I32(counts[base + i] + counts[odd + base + i])
        else:
            for i in range(U256):
                histogram[i] = 0
            for i in range(base, base + U256):
                histogram[lut[i]] += I32(counts[i] + counts[odd + i])
        _flatten(histogram, tables[base : base + U256])


@helper
def _static_table(op, value, mean, table):
    """Table (256,) of an op that depends on its magnitude and the mean only."""
    whole = I32(value)
    if op in (_BRIGHTNESS, _CONTRAST):
        factor, middle = F(value), I32(mean)
        for level in range(U256):
            table[level] = blend(middle, I32(level), factor)
    elif op == _SOLARIZE_ADD:
        for level in range(256):
            added = level + whole if level < 128 else level
            table[U(level)] = np.uint8(min(added, 255))
    elif op == _POSTERIZE:
        mask = 255 & ~((1 << (8 - whole)) - 1)
        for level in range(256):
            table[U(level)] = np.uint8(level & mask)
    else:
        start = whole if op == _SOLARIZE else 0
        for level in range(256):
            table[U(level)] = np.uint8(level if level < start else 255 - level)


@helper
def extend(op, value, src, lut, fresh, size, work):
    """Compose a table op onto ``lut``, which changes nothing yet if ``fresh``.

    AutoContrast and Contrast read ``src`` itself: their ``lut`` must be spent.
    """
    channels = size[2]
    tables, lines, counts = work
    if op == _AUTOCONTRAST:
        _autocontrast(src, size, lines, tables)
    elif op == _EQUALIZE:
        _equalize(src, lut, fresh, channels, counts, tables)
    else:
        mean = _grey_mean(src, channels) if op == _CONTRAST else np.int64(0)
        _static_table(op, value, mean, tables)
        extend_curve(tables, lut, fresh)
        return
    if fresh:
        copy(tables, lut)
        return
    for k in range(channels):
        for i in range(k * U256, (k + U1) * U256):
            lut[i] = tables[k * U256 + lut[i]]


@helper
def extend_curve(curve, lut, fresh):
    """Compose one table (256,) for all channels onto ``lut``."""
    if fresh:
        for start in range(U0, U(lut.size), U256):
            copy(curve, lut[start : start + U256])
        return
    for i in range(U(lut.size)):
        lut[i] = curve[lut[i]]
