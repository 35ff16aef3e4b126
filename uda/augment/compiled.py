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
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.compiled_filters import run_filter
from uda.augment.compiled_geometry import (
    bilinear,
    erase,
    erase_planes,
    gather,
    matrix,
    nearest,
    source_lines,
)  # fmt: skip
from uda.augment.compiled_levels import (
    ID,
    OPTIONS,
    U1,
    U2,
    U256,
    U,
    copy,
    extend,
    extend_curve,
    helper,
    jit,
    look_up,
    normalize,
    reset,
)  # fmt: skip

_AUTOCONTRAST, _CONTRAST = ID["AutoContrast"], ID["Contrast"]
_SHEAR_X, _ROTATE, _CROP = ID["ShearX"], ID["Rotate"], ID["ResizedCrop"]
_CUTOUT, _JPEG, _SOLARIZE_ADD = ID["Cutout"], ID["Jpeg"], ID["SolarizeAdd"]
_COLOR, _HUE, _VALUE = ID["Color"], ID["Hue"], ID["Value"]
_GAMMA, _LAST_CURVE = ID["Gamma"], ID["LogitContrast"]


@helper
def _is_curve(op, channels):
    """Whether the op's table was made by `parameters`."""
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
    op, value, params, place, box, _ = ops
    code, amount = op[at], value[at]
    src, dst, _ = buffers
    if code == _CUTOUT:
        copy(src, dst)
        erase(dst, box[at], size, fill)
    elif _SHEAR_X <= code <= _ROTATE or code == _CROP:
        m = matrix(code, amount, params[at], place[at], size)
        if modes[1] or code == _CROP:
            bilinear(src, dst, m, size, fill, modes[2] and code != _CROP)
        else:
            nearest(src, dst, m, size, fill, modes[2])
    else:
        run_filter(code, amount, params[at], place[at], buffers, size)


@helper
def _all_ops(n, ops, buffers, lut, work, size, fill, modes):
    """Execute the ops of view n; return the buffers and whether ``lut`` waits.

    Buffers are (src, dst, spare); the first src may be the caller's image, which
    is never written to.
    """
    src, dst, spare = buffers
    op, value, params, curves = ops[0], ops[1], ops[2], ops[5]
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
            waits = False
        fresh, waits = not waits, is_table
        if is_curve:
            extend_curve(curves[U(params[n, slot, 0])], lut, fresh)
        elif is_table:
            extend(code, value[n, slot], src, lut, fresh, size, work)
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
def _finish_normal(src, view, lut, norms, table, waits, cut, size, fill):
    """Write a view of normalised planes."""
    if waits:
        for k in range(size[2]):
            for i in range(k * U256, (k + U1) * U256):
                table[i] = norms[k * U256 + lut[i]]
        normalize(src, view, table, size[2])
    else:
        normalize(src, view, norms, size[2])
    erase_planes(view, cut, size, norms, fill)


@helper
def _one_view(n, arrays, ops, weak, scratch, size, fill, modes):
    """Write view n to the planes if there are norms, else to the levels."""
    src, view, plane, norms = arrays
    first, second, lut, rows, columns, floats, work = scratch
    hflip, vflip, turns, dy, dx, cut = weak
    channels = size[2]
    buffers = (src, first, second)
    flips = (hflip[n] != 0, vflip[n] != 0)
    moved = flips[0] or flips[1] or turns[n] != 0 or dy[n] != 0 or dx[n] != 0
    if moved:
        shift = (np.int64(dy[n]), np.int64(dx[n]))
        source_lines(flips, turns[n], shift, size, (rows, columns))
    if moved and not modes[0]:
        gather(src, first, rows, columns, channels)
        buffers = (first, second, first)
    reset(lut)
    buffers, waits = _all_ops(n, ops, buffers, lut, work, size, fill, modes)
    src, hole = buffers[0], cut[n]
    if moved and modes[0]:
        src, spare = _settle(buffers, lut, waits, hole, size, fill)
        hole, waits = cut[U(cut.shape[0]) - U1], False
        if norms.size == 0:
            gather(src, view, rows, columns, channels)
            return
        gather(src, spare, rows, columns, channels)
        src = spare
    if norms.size != 0:
        _finish_normal(src, plane, lut, norms, floats, waits, hole, size, fill)
    else:
        _finish(src, view, lut, waits, hole, size, fill)


def _execute(  # noqa: PLR0913 - flat arrays are what compiles fast
    images, out, planes, norms, size, op, value, params, place, box, curves,
    hflip, vflip, turns, dy, dx, cut, fill, modes, levels, whole, lines, floats,
    start, stop,
):  # fmt: skip
    """Write views start..stop to ``planes`` if there are norms, else to ``out``.

    ``modes`` says whether turns, flips and crop follow the ops, whether sampling
    is bilinear, and whether the image goes on by reflection. ``cut`` (N + 1, 4)
    ends with an empty box. What follows it is scratch space of a thread's own, as
    large as `scratch` makes it.
    """
    height, width, channels = size
    pixels, table = height * width * channels, channels * U256
    tables = levels[U2 * pixels + table : U2 * pixels + U2 * table]
    work = tables, levels[U2 * (pixels + table) :], whole
    scratch = (
        levels[:pixels], levels[pixels : U2 * pixels], levels[U2 * pixels :][:table],
        lines[:height], lines[height:], floats, work,
    )  # fmt: skip
    ops = op, value, params, place, box, curves
    weak = hflip, vflip, turns, dy, dx, cut
    normal = norms.size != 0
    for n in range(start, stop):
        a, b = n * pixels, (n + U1) * pixels
        view = out[:0] if normal else out[a:b]
        plane = planes[a:b] if normal else planes[:0]
        arrays = (images[a:b], view, plane, norms)
        _one_view(n, arrays, ops, weak, scratch, size, fill, modes)


_SIGNATURE = (
    "void(u1[::1], u1[::1], f4[::1], f4[::1], UniTuple(u8, 3), i1[:, ::1], "
    "f8[:, ::1], f8[:, :, ::1], f8[:, :, ::1], i4[:, :, ::1], u1[:, ::1], u1[::1], "
    "u1[::1], i1[::1], i4[::1], i4[::1], i4[:, ::1], u1[::1], UniTuple(b1, 3), "
    "u1[::1], i4[::1], u8[::1], f4[::1], u8, u8)"
)


def scratch(
    height: int, width: int, channels: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the scratch arrays that one call of `execute` needs for itself."""
    pixels, table = height * width * channels, 256 * channels
    return (
        np.empty(2 * (pixels + table + width * channels), np.uint8),
        np.empty(2 * table + 256, np.int32),
        np.empty(height + width, np.uint64),
        np.empty(table, np.float32),
    )


def _compile() -> Callable[..., None]:
    """Compile for the one signature; without a writable cache, in memory."""
    try:
        return jit(_SIGNATURE, cache=True, **OPTIONS)(_execute)  # type: ignore[no-any-return]
    except (RuntimeError, OSError):
        return jit(_SIGNATURE, **OPTIONS)(_execute)  # type: ignore[no-any-return]


execute: Callable[..., None] = _compile()
