"""The compiled executor: one pass per op, tables composed, no Python per image.

Importing this file compiles it (once; then it comes from numba's cache). All of
it lies in one file, since numba's cache does not see edits elsewhere. Indices
are uint64 throughout: signed ones cost a test for negative values at each pixel
and half the speed, and numba turns uint64 + int64 into float64.

Names in kernels: ``lut`` (K * 256,) is the table that still has to be applied to
``src``; it grows with each table op and is spent by the next op that moves pixels.
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
_ID = {name: op.id for name, op in OPS.items()}
_AUTOCONTRAST, _EQUALIZE, _INVERT = _ID["AutoContrast"], _ID["Equalize"], _ID["Invert"]
_POSTERIZE, _SOLARIZE = _ID["Posterize"], _ID["Solarize"]
_BRIGHTNESS, _CONTRAST = _ID["Brightness"], _ID["Contrast"]
_COLOR, _SHARPNESS = _ID["Color"], _ID["Sharpness"]
_SHEAR_X, _ROTATE, _CUTOUT = _ID["ShearX"], _ID["Rotate"], _ID["Cutout"]
_U0, _U1, _U2, _U3, _U256 = U(0), U(1), U(2), U(3), U(256)

# With Python's error model each division is a branch that may raise.
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_jit: Callable[..., Any] = numba.njit
_helper = _jit(**_OPTIONS)


@_helper
def _blend(degenerate, level, factor):
    """Pillow's float32 blend of two levels, clipped and truncated."""
    mixed = F(degenerate) + factor * F(np.int32(level) - np.int32(degenerate))
    return np.uint8(min(max(mixed, F(0)), F(255)))


@_helper
def _look_up(src, dst, lut, channels):
    """Write lut[src] to dst, channel by channel."""
    size = U(src.size)
    if channels == _U1:
        for i in range(size):
            dst[i] = lut[src[i]]
        return
    for i in range(_U0, size, _U3):
        dst[i] = lut[src[i]]
        dst[i + _U1] = lut[_U256 + src[i + _U1]]
        dst[i + _U2] = lut[_U256 + _U256 + src[i + _U2]]


@_helper
def _grey(src, lut, i):
    """Pillow's 8-bit grey of the looked-up colour pixel that starts at i."""
    red = np.int64(lut[src[i]])
    green = np.int64(lut[_U256 + src[i + _U1]])
    blue = np.int64(lut[_U256 + _U256 + src[i + _U2]])
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


@_helper
def _grey_mean(src, lut, channels):
    total = np.int64(0)
    size = U(src.size)
    if channels == _U1:
        for i in range(size):
            total += np.int64(lut[src[i]])
    else:
        for i in range(_U0, size, _U3):
            total += _grey(src, lut, i)
    return np.int64(total / (size // channels) + 0.5)


@_helper
def _histogram(src, lut, channel, channels, histogram):
    """Histogram (256,) of a channel, as it will be once ``lut`` is applied."""
    raw = np.zeros(256, np.int64)
    for i in range(channel, U(src.size), channels):
        raw[src[i]] += 1
    histogram[:] = 0
    for level in range(_U256):
        histogram[lut[channel * _U256 + level]] += raw[level]


@_helper
def _autocontrast(histogram, table):
    low, high = 0, 255
    while histogram[U(low)] == 0:
        low += 1
    while histogram[U(high)] == 0:
        high -= 1
    for level in range(256):
        table[U(level)] = level
    if high <= low:
        return
    scale = 255.0 / (high - low)
    offset = -low * scale
    for level in range(256):
        stretched = level * scale + offset
        table[U(level)] = np.uint8(min(max(stretched, 0.0), 255.0))


@_helper
def _equalize(histogram, table):
    last = 255
    while histogram[U(last)] == 0:
        last -= 1
    total = histogram.sum()
    step = (total - histogram[U(last)]) // 255
    below = step // 2
    for level in range(256):
        if step == 0:
            table[U(level)] = level
        else:
            table[U(level)] = min(below // step, 255)
            below += histogram[U(level)]


@_helper
def _static_table(op, value, mean, table):
    """Table (256,) of an op that depends on its magnitude and the mean only."""
    whole = np.int64(value)
    mask = 255 & ~((1 << (8 - whole)) - 1) if op == _POSTERIZE else 255
    for level in range(256):
        if op == _INVERT or (op == _SOLARIZE and level >= whole):
            table[U(level)] = 255 - level
        elif op in (_BRIGHTNESS, _CONTRAST):
            table[U(level)] = _blend(mean, level, F(value))
        else:
            table[U(level)] = level & mask


@_helper
def _extend(op, value, src, lut, channels):
    """Compose a table op onto ``lut``."""
    table = np.empty(256, np.uint8)
    adaptive = op in (_AUTOCONTRAST, _EQUALIZE)
    if not adaptive:
        mean = _grey_mean(src, lut, channels) if op == _CONTRAST else 0
        _static_table(op, value, mean, table)
    histogram = np.empty(256, np.int64)
    for channel in range(channels):
        if adaptive:
            _histogram(src, lut, channel, channels, histogram)
            if op == _AUTOCONTRAST:
                _autocontrast(histogram, table)
            else:
                _equalize(histogram, table)
        for i in range(channel * _U256, (channel + _U1) * _U256):
            lut[i] = table[lut[i]]


@_helper
def _color(src, dst, lut, factor):
    for i in range(_U0, U(src.size), _U3):
        grey = _grey(src, lut, i)
        dst[i] = _blend(grey, lut[src[i]], factor)
        dst[i + _U1] = _blend(grey, lut[_U256 + src[i + _U1]], factor)
        dst[i + _U2] = _blend(grey, lut[_U256 + _U256 + src[i + _U2]], factor)


@_helper
def _sharpness(src, dst, size, factor):
    """Blend with Pillow's SMOOTH, whose border is the image's own."""
    height, width, channels = size
    pitch = width * channels
    dst[:] = src
    if height < _U3 or width < _U3:
        return
    for y in range(_U1, height - _U1):
        for i in range(y * pitch + channels, (y + _U1) * pitch - channels):
            up, down = i - pitch, i + pitch
            total = np.int32(src[up - channels]) + np.int32(src[up])
            total += np.int32(src[up + channels]) + np.int32(src[i - channels])
            total += np.int32(src[i + channels]) + np.int32(src[down - channels])
            total += np.int32(src[down]) + np.int32(src[down + channels])
            total += np.int32(5) * np.int32(src[i])
            # Pillow sums floats and rounds; 13 is odd, so there are no ties.
            smooth = (np.int32(2) * total + np.int32(13)) // np.int32(26)
            dst[i] = _blend(smooth, src[i], factor)


@_helper
def _move(src, dst, lut, matrix, size, fill):
    """Nearest sampling in 16.16 fixed point; ``lut`` does not touch the fill."""
    height, width, channels = size
    i = _U0
    for y in range(height):
        xx = matrix[2] + matrix[1] * np.int64(y)
        yy = matrix[5] + matrix[4] * np.int64(y)
        for _ in range(width):
            # A negative coordinate becomes a huge unsigned one.
            source_x, source_y = U(xx >> 16), U(yy >> 16)
            if source_x < width and source_y < height:
                j = (source_y * width + source_x) * channels
                for k in range(channels):
                    dst[i + k] = lut[k * _U256 + src[j + k]]
            else:
                for k in range(channels):
                    dst[i + k] = fill[k]
            i += channels
            xx += matrix[0]
            yy += matrix[3]


@_helper
def _erase(dst, box, size, fill):
    _, width, channels = size
    for y in range(U(box[0]), U(box[2])):
        for x in range(U(box[1]), U(box[3])):
            for k in range(channels):
                dst[(y * width + x) * channels + k] = fill[k]


@_helper
def _axis(side, flip, shift, offsets, scale):
    """Offset of the source line of each of ``side`` lines, flipped and shifted."""
    for i in range(side):
        source = abs(i + shift)
        if source >= side:
            source = 2 * (side - 1) - source
        if flip:
            source = side - 1 - source
        offsets[U(i)] = U(source) * scale


@_helper
def _gather(src, dst, lut, rows, columns, channels):
    """Write lut[src[rows[y] + columns[x]]] to dst[y, x]."""
    i = _U0
    for y in range(U(rows.size)):
        for x in range(U(columns.size)):
            j = rows[y] + columns[x]
            for k in range(channels):
                dst[i] = lut[k * _U256 + src[j + k]]
                i += _U1


@_helper
def _source_lines(flips, turns, shift, size, lines):
    """Fill (H,) and (W,) with offsets whose sums are the source pixels.

    A quarter turn swaps the axes and reverses one of them, so that the rows of
    the view walk along the columns of the source.
    """
    height, width, channels = size
    hflip, vflip = flips
    rows, columns = lines
    pitch = width * channels
    if turns in (1, 3):
        _axis(np.int64(height), vflip != (turns == 1), shift[0], rows, channels)
        _axis(np.int64(width), hflip != (turns == 3), shift[1], columns, pitch)
    else:
        _axis(np.int64(height), vflip != (turns == 2), shift[0], rows, pitch)
        _axis(np.int64(width), hflip != (turns == 2), shift[1], columns, channels)


@_helper
def _reset(lut):
    for i in range(U(lut.size)):
        lut[i] = np.uint8(i & U(255))


@_helper
def _one_op(at, op, value, src, dst, lut, matrix, box, size, fill):
    """Execute an op that is not a table; spends ``lut``, except for two ops.

    Sharpness and Cutout expect it spent already.
    """
    code, factor = op[at], F(value[at])
    if code == _COLOR:
        _color(src, dst, lut, factor)
    elif code == _SHARPNESS:
        _sharpness(src, dst, size, factor)
    elif code == _CUTOUT:
        dst[:] = src
        _erase(dst, box[at], size, fill)
    else:
        _move(src, dst, lut, matrix[at], size, fill)


@_helper
def _all_ops(n, op, value, matrix, box, buffers, lut, size, fill):
    """Execute the ops of view n; return the buffers and whether ``lut`` waits.

    Buffers are (src, dst, spare); the first src may be the caller's image, which
    is never written to.
    """
    src, dst, spare = buffers
    channels = size[2]
    waits = False
    for slot in range(U(op.shape[1])):
        code = op[n, slot]
        if code <= 0 or (code == _COLOR and channels == _U1):
            continue
        if code < _COLOR:
            _extend(code, value[n, slot], src, lut, channels)
            waits = True
            continue
        if waits and code in (_SHARPNESS, _CUTOUT):
            _look_up(src, dst, lut, channels)
            src, dst, spare = dst, spare, dst
        _one_op((n, slot), op, value, src, dst, lut, matrix, box, size, fill)
        src, dst, spare = dst, spare, dst
        if waits:
            _reset(lut)
            waits = False
    return (src, dst, spare), waits


@_helper
def _finish(buffers, view, lut, waits, cut, size, fill):
    """Write a view that needs no more geometry."""
    if waits:
        _look_up(buffers[0], view, lut, size[2])
    else:
        view[:] = buffers[0]
    _erase(view, cut, size, fill)


@_helper
def _finish_moved(buffers, view, lut, cut, lines, size, fill):
    """Write a view whose turns, flips and crop follow its ops and cutout."""
    src, dst, _ = buffers
    if cut[2] > cut[0] and cut[3] > cut[1]:
        _look_up(src, dst, lut, size[2])
        _erase(dst, cut, size, fill)
        _reset(lut)
        src = dst
    _gather(src, view, lut, lines[0], lines[1], size[2])


def _execute(  # noqa: PLR0913 - flat arrays are what compiles fast
    images, out, size, op, value, matrix, box, hflip, vflip, turns, dy, dx, cut,
    fill, last, start, stop,
):  # fmt: skip
    """Write views start..stop; last = turns, flips and crop follow the ops."""
    pixels = size[0] * size[1] * size[2]
    first, second = np.empty(pixels, np.uint8), np.empty(pixels, np.uint8)
    lut = np.empty(size[2] * _U256, np.uint8)
    lines = np.empty(size[0], U), np.empty(size[1], U)
    for n in range(start, stop):
        buffers = (images[n * pixels : (n + _U1) * pixels], first, second)
        view = out[n * pixels : (n + _U1) * pixels]
        flips = (hflip[n] != 0, vflip[n] != 0)
        shift = (np.int64(dy[n]), np.int64(dx[n]))
        moved = flips[0] or flips[1] or turns[n] != 0 or dy[n] != 0 or dx[n] != 0
        _reset(lut)
        if moved:
            _source_lines(flips, turns[n], shift, size, lines)
        if moved and not last:
            _gather(buffers[0], first, lut, lines[0], lines[1], size[2])
            buffers = (first, second, first)
        buffers, waits = _all_ops(n, op, value, matrix, box, buffers, lut, size, fill)
        if moved and last:
            _finish_moved(buffers, view, lut, cut[n], lines, size, fill)
        else:
            _finish(buffers, view, lut, waits, cut[n], size, fill)


_SIGNATURE = (
    "void(u1[::1], u1[::1], UniTuple(u8, 3), i1[:, ::1], f8[:, ::1], i8[:, :, ::1], "
    "i4[:, :, ::1], u1[::1], u1[::1], i1[::1], i4[::1], i4[::1], i4[:, ::1], u1[::1], "
    "b1, u8, u8)"
)


def _compile() -> Callable[..., None]:
    """Compile for the one signature; without a writable cache, in memory."""
    try:
        return _jit(_SIGNATURE, cache=True, **_OPTIONS)(_execute)  # type: ignore[no-any-return]
    except (RuntimeError, OSError):
        return _jit(_SIGNATURE, **_OPTIONS)(_execute)  # type: ignore[no-any-return]


execute: Callable[..., None] = _compile()
