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

# With Python's error model each division is a branch that may raise.
OPTIONS = {"nogil": True, "error_model": "numpy"}
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
def normalize(src, view, lut, norms, channels):
    """Write the normalised planes (K, H, W) of the looked-up pixels (H, W, K)."""
    table = np.empty(norms.size, np.float32)
    for i in range(U(norms.size)):
        table[i] = norms[(i & ~U(255)) + lut[i]]
    pixels = U(src.size) // channels
    if channels == U1:
        for i in range(pixels):
            view[i] = table[src[i]]
        return
    red, green = view[:pixels], view[pixels : U2 * pixels]
    blue = view[U2 * pixels :]
    for i in range(pixels):
        red[i] = table[src[U3 * i]]
        green[i] = table[U256 + src[U3 * i + U1]]
        blue[i] = table[U512 + src[U3 * i + U2]]


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
        row = src[start : start + pitch]
        for i in range(pitch):
            low[i] = min(low[i], row[i])
            high[i] = max(high[i], row[i])


@helper
def _autocontrast(src, size, tables):
    """Tables (K * 256,) that stretch each channel's range to 0..255."""
    channels = size[2]
    pitch = size[1] * channels
    lows, highs = np.empty(pitch, np.uint8), np.empty(pitch, np.uint8)
    _extremes(src, pitch, lows, highs)
    for k in range(channels):
        low, high = np.int64(255), np.int64(0)
        for i in range(k, pitch, channels):
            low = min(low, np.int64(lows[i]))
            high = max(high, np.int64(highs[i]))
        if high <= low:
            continue
        scale = 255.0 / (high - low)
        offset = -low * scale
        for level in range(256):
            stretched = level * scale + offset
            tables[k * U256 + U(level)] = np.uint8(min(max(stretched, 0.0), 255.0))


@helper
def _count(src, channels, counts):
    """Histograms (2 * K * 256,): even and odd pixels apart.

    Neighbours are often equal, and adding twice to one counter makes the second
    wait for the first.
    """
    counts[:] = 0
    pair = U2 * channels
    odd = channels * U256
    whole = U(src.size) // pair * pair
    if channels == U1:
        for i in range(U0, whole, U2):
            counts[src[i]] += 1
            counts[odd + src[i + U1]] += 1
    else:
        for i in range(U0, whole, pair):
            counts[src[i]] += 1
            counts[U256 + src[i + U1]] += 1
            counts[U512 + src[i + U2]] += 1
            counts[odd + src[i + U3]] += 1
            counts[odd + U256 + src[i + U3 + U1]] += 1
            counts[odd + U512 + src[i + U3 + U2]] += 1
    for i in range(whole, U(src.size)):
        counts[(i - whole) * U256 + src[i]] += 1


@helper
def _equalize(src, lut, channels, tables):
    """Tables (K * 256,) that flatten each channel's histogram after ``lut``."""
    odd = channels * U256
    counts = np.empty(U2 * odd, np.int32)
    _count(src, channels, counts)
    histogram = np.empty(256, np.int64)
    for k in range(channels):
        base = k * U256
        histogram[:] = 0
        for i in range(base, base + U256):
            histogram[lut[i]] += counts[i] + counts[odd + i]
        last = 255
        while histogram[U(last)] == 0:
            last -= 1
        step = (histogram.sum() - histogram[U(last)]) // 255
        if step == 0:
            continue
        below = step // 2
        for level in range(U256):
            tables[base + level] = min(below // step, 255)
            below += histogram[level]


@helper
def _static_table(op, value, mean, table):
    """Table (256,) of an op that depends on its magnitude and the mean only."""
    whole = np.int64(value)
    mask = 255 & ~((1 << (8 - whole)) - 1) if op == _POSTERIZE else 255
    for level in range(256):
        if op == _INVERT or (op == _SOLARIZE and level >= whole):
            table[U(level)] = 255 - level
        elif op == _SOLARIZE_ADD:
            table[U(level)] = min(255, level + whole) if level < 128 else level
        elif op in (_BRIGHTNESS, _CONTRAST):
            table[U(level)] = blend(I32(mean), I32(level), F(value))
        else:
            table[U(level)] = level & mask


@helper
def extend(op, value, src, lut, size):
    """Compose a table op onto ``lut``.

    AutoContrast and Contrast read ``src`` itself: their ``lut`` must be spent.
    """
    channels = size[2]
    tables = np.empty(channels * U256, np.uint8)
    reset(tables)
    if op == _AUTOCONTRAST:
        _autocontrast(src, size, tables)
    elif op == _EQUALIZE:
        _equalize(src, lut, channels, tables)
    else:
        mean = _grey_mean(src, channels) if op == _CONTRAST else 0
        _static_table(op, value, mean, tables)
        for i in range(U256, channels * U256):
            tables[i] = tables[i & U(255)]
    for i in range(channels * U256):
        lut[i] = tables[(i & ~U(255)) + lut[i]]


@helper
def extend_curve(curve, lut):
    """Compose one table (256,) for all channels onto ``lut``."""
    for i in range(U(lut.size)):
        lut[i] = curve[lut[i]]
