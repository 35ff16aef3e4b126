"""The compiled executor: one pass per op, tables composed, no Python per image.

Importing this file compiles it and the files it takes its parts from (once; then
it comes from numba's cache, whose folder is named after the text of them all).
Indices are uint64 throughout: signed ones cost a test for negative values at each
pixel and half the speed, and numba turns uint64 + int64 into float64.

Names in kernels: ``lut`` (K * 256,) is the table that still has to be applied to
``src``; it grows with each table op and is spent before an op that needs pixels.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from uda.augment.compiled_filters import run_filter
from uda.augment.compiled_geometry import (
    bilinear, erase, erase_planes, gather, matrix, nearest, source_lines,
)  # fmt: skip
from uda.augment.compiled_levels import (
    ID, OPTIONS, U1, U256, U, copy, extend, extend_curve, helper, jit, look_up,
    normalize, reset,
)  # fmt: skip

_AUTOCONTRAST, _CONTRAST = ID["AutoContrast"], ID["Contrast"]
_SHEAR_X, _ROTATE, _CROP = ID["ShearX"], ID["Rotate"], ID["ResizedCrop"]
_CUTOUT, _JPEG, _SOLARIZE_ADD = ID["Cutout"], ID["Jpeg"], ID["SolarizeAdd"]
_COLOR, _HUE, _VALUE = ID["Color"], ID["Hue"], ID["Value"]
_GAMMA, _LAST_CURVE = ID["Gamma"], ID["LogitContrast"]


@helper
def _is_curve(op, channels):
    """Whether the op's table was made by `parameters.curves`."""
    return (_GAMMA <= op <= _LAST_CURVE) or (op == _VALUE and channels == U1)


@helper
def _does_nothing(op, channels):
    """Colours of grey images stay; JPEG is left to Pillow."""
    if op <= 0 or op == _JPEG:
        return True
    return channels == U1 and (op == _COLOR or _HUE <= op < _VALUE)


@helper
def _one_op(at, ops, buffers, size, fill, modes):
    """Execute an op that is not a table, from src to dst."""
    op, value, params, place, box = ops
    code, amount = op[at], value[at]
    src, dst, _ = buffers
    if code == _CUTOUT:
        copy(src, dst)
        erase(dst, box[at], size, fill)
    elif _SHEAR_X <= code <= _ROTATE or code == _CROP:
        m = matrix(code, amount, params[at], place[at], size)
        if code == _CROP:
            bilinear(src, dst, m, size, fill, False)
        elif modes[1]:
            bilinear(src, dst, m, size, fill, modes[2])
        else:
            nearest(src, dst, m, size, fill, modes[2])
    else:
        run_filter(code, amount, params[at], place[at], buffers, size)


@helper
def _all_ops(n, ops, curves, buffers, lut, size, fill, modes):
    """Execute the ops of view n; return the buffers and whether ``lut`` waits.

    Buffers are (src, dst, spare); the first src may be the caller's image, which
    is never written to.
    """
    src, dst, spare = buffers
    op, value, params = ops[0], ops[1], ops[2]
    channels = size[2]
    waits = False
    for slot in range(U(op.shape[1])):
        code = op[n, slot]
        if _does_nothing(code, channels):
            continue
        is_curve = _is_curve(code, channels)
        is_table = is_curve or code < _COLOR or code == _SOLARIZE_ADD
        if waits and (not is_table or code in (_AUTOCONTRAST, _CONTRAST)):
            look_up(src, dst, lut, channels)
            src, dst, spare = dst, spare, dst
            reset(lut)
        waits = is_table
        if is_curve:
            extend_curve(curves[U(params[n, slot, 0])], lut)
        elif is_table:
            extend(code, value[n, slot], src, lut, size)
        else:
            _one_op((n, slot), ops, (src, dst, spare), size, fill, modes)
            src, dst, spare = dst, spare, dst
    return (src, dst, spare), waits


@helper
def _settle(buffers, lut, waits, cut, size, fill):
    """Spend ``lut`` and cut out, away from the caller's image; return (src, dst)."""
    src, dst, spare = buffers
    cuts = cut[2] > cut[0] and cut[3] > cut[1]
    if waits:
        look_up(src, dst, lut, size[2])
        reset(lut)
    elif cuts:
        copy(src, dst)
    else:
        return src, dst
    if cuts:
        erase(dst, cut, size, fill)
    return dst, spare


@helper
def _finish(src, view, lut, waits, cut, size, fill):
    """Write a view of grey levels."""
    if waits:
        look_up(src, view, lut, size[2])
    else:
        copy(src, view)
    erase(view, cut, size, fill)


@helper
def _finish_normal(src, view, lut, norms, cut, size, fill):
    """Write a view of normalised planes."""
    normalize(src, view, lut, norms, size[2])
    values = np.empty(fill.size, np.float32)
    for k in range(U(fill.size)):
        values[k] = norms[k * U256 + fill[k]]
    erase_planes(view, cut, size, values)


def _execute(  # noqa: PLR0913 - flat arrays are what compiles fast
    images, out, planes, norms, size, op, value, params, place, box, curves,
    hflip, vflip, turns, dy, dx, cut, fill, modes, start, stop,
):  # fmt: skip
    """Write views start..stop to ``planes`` if there are norms, else to ``out``.

    ``modes`` says whether turns, flips and crop follow the ops, whether sampling
    is bilinear, and whether the image goes on by reflection.
    """
    pixels = size[0] * size[1] * size[2]
    first, second = np.empty(pixels, np.uint8), np.empty(pixels, np.uint8)
    lut = np.empty(size[2] * U256, np.uint8)
    lines = np.empty(size[0], U), np.empty(size[1], U)
    nothing = np.zeros(4, np.int32)
    ops = op, value, params, place, box
    normal = norms.size != 0
    for n in range(start, stop):
        a, b = n * pixels, (n + U1) * pixels
        buffers = (images[a:b], first, second)
        flips = (hflip[n] != 0, vflip[n] != 0)
        shift = (np.int64(dy[n]), np.int64(dx[n]))
        moved = flips[0] or flips[1] or turns[n] != 0 or dy[n] != 0 or dx[n] != 0
        reset(lut)
        hole = cut[n]
        if moved:
            source_lines(flips, turns[n], shift, size, lines)
        if moved and not modes[0]:
            gather(buffers[0], first, lines, size[2])
            buffers = (first, second, first)
        buffers, waits = _all_ops(n, ops, curves, buffers, lut, size, fill, modes)
        src = buffers[0]
        if moved and modes[0]:
            src, spare = _settle(buffers, lut, waits, hole, size, fill)
            hole, waits = nothing, False
            if not normal:
                gather(src, out[a:b], lines, size[2])
                continue
            gather(src, spare, lines, size[2])
            src = spare
        if normal:
            _finish_normal(src, planes[a:b], lut, norms, hole, size, fill)
        else:
            _finish(src, out[a:b], lut, waits, hole, size, fill)


_SIGNATURE = (
    "void(u1[::1], u1[::1], f4[::1], f4[::1], UniTuple(u8, 3), i1[:, ::1], "
    "f8[:, ::1], f8[:, :, ::1], f8[:, :, ::1], i4[:, :, ::1], u1[:, ::1], u1[::1], "
    "u1[::1], i1[::1], i4[::1], i4[::1], i4[:, ::1], u1[::1], UniTuple(b1, 3), "
    "u8, u8)"
)


def _compile() -> Callable[..., None]:
    """Compile for the one signature; without a writable cache, in memory."""
    try:
        return jit(_SIGNATURE, cache=True, **OPTIONS)(_execute)  # type: ignore[no-any-return]
    except (RuntimeError, OSError):
        return jit(_SIGNATURE, **OPTIONS)(_execute)  # type: ignore[no-any-return]


execute: Callable[..., None] = _compile()
