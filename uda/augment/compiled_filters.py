"""Compiled filters: colour, sharpness, HSV shifts, blur, noise, light.

Part of the compiled executor; `compiled` says how its indices and types are kept.
Each formula is that of `fallback`, in the same order of the same operations.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np

from uda.augment.compiled_levels import (
    I32,
    ID,
    U0,
    U1,
    U2,
    U3,
    F,
    U,
    blend,
    copy,
    grey,
    helper,
)  # fmt: skip

_COLOR, _SHARPNESS, _BLUR = ID["Color"], ID["Sharpness"], ID["Blur"]
_HUE, _SATURATION, _VALUE = ID["Hue"], ID["Saturation"], ID["Value"]
_NOISE, _ILLUMINATION = ID["Noise"], ID["Illumination"]
_GOLDEN = U(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = U(0xBF58476D1CE4E5B9), U(0x94D049BB133111EB)


@helper
def _color(src, dst, factor):
    for p in range(U(src.size) // U3):
        red, green, blue = src[U3 * p], src[U3 * p + U1], src[U3 * p + U2]
        level = grey(red, green, blue)
        dst[U3 * p] = blend(level, I32(red), factor)
        dst[U3 * p + U1] = blend(level, I32(green), factor)
        dst[U3 * p + U2] = blend(level, I32(blue), factor)


@helper
def _sharpen_row(src, dst, row, pitch, channels, factor):
    """The row at an offset, without its two border pixels."""
    for i in range(row + channels, row + pitch - channels):
        up, down = i - pitch, i + pitch
        total = I32(I32(src[up - channels]) + I32(src[up]))
        total = I32(total + I32(src[up + channels]))
        total = I32(total + I32(I32(src[i - channels]) + I32(src[i + channels])))
        total = I32(total + I32(I32(src[down - channels]) + I32(src[down])))
        total = I32(total + I32(src[down + channels]))
        total = I32(total + I32(I32(5) * I32(src[i])))
        # Pillow sums floats and rounds; 13 is odd, so there are no ties.
        smooth = np.uint32(np.uint32(I32(2) * total + I32(13)) // np.uint32(26))
        dst[i] = blend(I32(smooth), I32(src[i]), factor)


@helper
def _sharpness(src, dst, size, factor):
    """Blend with Pillow's SMOOTH, whose border is the image's own."""
    height, width, channels = size
    pitch = width * channels
    if height < U3 or width < U3:
        copy(src, dst)
        return
    copy(src[:pitch], dst[:pitch])
    for y in range(U1, height - U1):
        row = y * pitch
        for k in range(channels):
            dst[row + k] = src[row + k]
            dst[row + pitch - U1 - k] = src[row + pitch - U1 - k]
        _sharpen_row(src, dst, row, pitch, channels, factor)
    copy(src[(height - U1) * pitch :], dst[(height - U1) * pitch :])


@helper
def _to_hsv(red, green, blue):
    """The formulas of Python's colorsys."""
    high, low = max(red, green, blue), min(red, green, blue)
    if high == low:
        return 0.0, 0.0, high
    span = high - low
    to_red, to_green = (high - red) / span, (high - green) / span
    to_blue = (high - blue) / span
    if red == high:
        hue = to_blue - to_green
    elif green == high:
        hue = 2.0 + to_red - to_blue
    else:
        hue = 4.0 + to_green - to_red
    hue /= 6.0
    return hue - math.floor(hue), span / high, high


@helper
def _to_rgb(hue, saturation, value):
    if saturation == 0.0:
        return value, value, value
    sector = np.int64(hue * 6.0)
    f = hue * 6.0 - sector
    p = value * (1.0 - saturation)
    q = value * (1.0 - saturation * f)
    t = value * (1.0 - saturation * (1.0 - f))
    sector %= 6
    red, green, blue = value, p, q
    if sector == 0:
        green, blue = t, p
    elif sector == 1:
        red, green, blue = q, value, p
    elif sector == 2:
        red, green, blue = p, value, t
    elif sector == 3:
        red, green, blue = p, q, value
    elif sector == 4:
        red, green, blue = t, p, value
    return red, green, blue


@helper
def _level(number):
    """Round half up and clip to 0..255."""
    return np.uint8(min(max(math.floor(number + 0.5), 0.0), 255.0))


@helper
def _shift_hsv(src, dst, op, shift):
    for i in range(U0, U(src.size), U3):
        hue, saturation, value = _to_hsv(
            src[i] / 255.0, src[i + U1] / 255.0, src[i + U2] / 255.0
        )
        if op == _HUE:
            hue += shift / 360.0
            hue -= math.floor(hue)
        elif op == _SATURATION:
            saturation = min(max(saturation + shift, 0.0), 1.0)
        else:
            value = min(max(value + shift, 0.0), 1.0)
        red, green, blue = _to_rgb(hue, saturation, value)
        dst[i] = _level(255.0 * red)
        dst[i + U1] = _level(255.0 * green)
        dst[i + U2] = _level(255.0 * blue)


@helper
def _box_line(src, dst, steps, box):
    """One extended box blur along a line of strided values."""
    start, stride, count = steps
    radius, whole, part = box
    last = count - 1
    total = np.int64(0)
    for i in range(-radius - 1, radius):
        total += np.int64(src[start + U(min(max(i, 0), last)) * stride])
    for i in range(count):
        left = np.int64(src[start + U(max(i - radius - 1, 0)) * stride])
        total -= left
        total += np.int64(src[start + U(min(i + radius, last)) * stride])
        right = np.int64(src[start + U(min(i + radius + 1, last)) * stride])
        left = np.int64(src[start + U(max(i - radius - 1, 0)) * stride])
        mixed = total * whole + (left + right) * part
        dst[start + U(i) * stride] = np.uint8((mixed + (1 << 23)) >> 24)


@helper
def _box_pass(src, dst, size, across, box):
    """One extended box blur of every row (or column, ``across``)."""
    height, width, channels = size
    pitch = width * channels
    for k in range(channels):
        if across:
            for x in range(width):
                _box_line(src, dst, (x * channels + k, pitch, np.int64(height)), box)
        else:
            for y in range(height):
                _box_line(src, dst, (y * pitch + k, channels, np.int64(width)), box)


@helper
def _blur(src, dst, spare, size, params):
    """Pillow's GaussianBlur; ``spare`` may be ``src``, which is used up then."""
    box = np.int64(params[0]), np.int64(params[1]), np.int64(params[2])
    if params[0] == 0 and params[2] == 0:
        copy(src, dst)
        return
    _box_pass(src, dst, size, False, box)
    _box_pass(dst, spare, size, False, box)
    _box_pass(spare, dst, size, False, box)
    _box_pass(dst, spare, size, True, box)
    _box_pass(spare, dst, size, True, box)
    _box_pass(dst, spare, size, True, box)
    copy(spare, dst)


@helper
def _noise(src, dst, deviation, place):
    """Add sums of four uniform numbers of 16 bits from a counter-based generator."""
    state = (U(place[0] * 4294967296.0) << U(32)) | U(place[1] * 4294967296.0)
    for i in range(U(src.size)):
        state += _GOLDEN
        word = (state ^ (state >> U(30))) * _MIX_1
        word = (word ^ (word >> U(27))) * _MIX_2
        word ^= word >> U(31)
        total = (word & U(65535)) + ((word >> U(16)) & U(65535))
        total += ((word >> U(32)) & U(65535)) + (word >> U(48))
        step = deviation * np.float64(np.int64(total) - 131070) / 37837.2
        dst[i] = _level(np.float64(src[i]) + step)


@helper
def _illuminate(src, dst, size, gain, params):
    """Multiply by a gain that is linear in the direction (cosine, sine)."""
    cosine, sine = params[0], params[1]
    half_y = (np.float64(size[0]) - 1.0) / 2.0
    half_x = (np.float64(size[1]) - 1.0) / 2.0
    reach = abs(cosine) * half_x + abs(sine) * half_y
    i = U0
    for y in range(size[0]):
        for x in range(size[1]):
            t = 0.0
            if reach != 0.0:
                along = (np.float64(x) - half_x) * cosine
                t = (along + (np.float64(y) - half_y) * sine) / reach
            for _ in range(size[2]):
                dst[i] = _level(np.float64(src[i]) * (1.0 + gain * t))
                i += U1


@helper
def _highlight(src, dst, size, strength, place):
    """Move levels towards white around a place."""
    height, width = np.float64(size[0]), np.float64(size[1])
    radius = min(height, width) / 4.0
    i = U0
    for y in range(size[0]):
        dy = np.float64(y) + 0.5 - place[0] * height
        for x in range(size[1]):
            dx = np.float64(x) + 0.5 - place[1] * width
            fall = 1.0 + (dy * dy + dx * dx) / (radius * radius)
            weight = strength / (fall * fall)
            for _ in range(size[2]):
                level = np.float64(src[i])
                dst[i] = _level(level + (255.0 - level) * weight)
                i += U1


@helper
def run_filter(op, value, params, place, buffers, size):
    """Execute a filter op from buffers' src to dst."""
    src, dst, spare = buffers
    if op == _COLOR:
        _color(src, dst, F(value))
    elif op == _SHARPNESS:
        _sharpness(src, dst, size, F(value))
    elif op in (_HUE, _SATURATION, _VALUE):
        _shift_hsv(src, dst, op, value)
    elif op == _BLUR:
        _blur(src, dst, spare, size, params)
    elif op == _NOISE:
        _noise(src, dst, value, place)
    elif op == _ILLUMINATION:
        _illuminate(src, dst, size, value, params)
    else:
        _highlight(src, dst, size, value, place)
