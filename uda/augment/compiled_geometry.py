"""Compiled moves of pixels: nearest and bilinear sampling, flips, crops, holes.

Part of the compiled executor; `compiled` says how its indices and types are kept.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np

from uda.augment.compiled_levels import ID, U0, U1, U2, U3, U256, U, helper

_SHEAR_X, _SHEAR_Y = ID["ShearX"], ID["ShearY"]
_TRANSLATE_X, _TRANSLATE_Y = ID["TranslateX"], ID["TranslateY"]
_ROTATE = ID["Rotate"]
_ONE = np.int64(65536)


@helper
def matrix(op, value, params, place, size):
    """Map (a, b, c, d, e, f) of a geometric op, in pixels.

    ``params`` holds cosine and sine of a rotation; ``place`` where a crop lies.
    """
    height, width = np.float64(size[0]), np.float64(size[1])
    if op == _SHEAR_X:
        return (1.0, value, 0.0, 0.0, 1.0, 0.0)
    if op == _SHEAR_Y:
        return (1.0, 0.0, 0.0, value, 1.0, 0.0)
    if op == _TRANSLATE_X:
        return (1.0, 0.0, value, 0.0, 1.0, 0.0)
    if op == _TRANSLATE_Y:
        return (1.0, 0.0, 0.0, 0.0, 1.0, value)
    if op == _ROTATE:
        cosine, sine = params[0], params[1]
        x, y = width / 2, height / 2
        c = cosine * -x + sine * -y + x
        return (cosine, sine, c, -sine, cosine, -sine * -x + cosine * -y + y)
    f = math.sqrt(value)
    left = place[1] * (width - f * width)
    return (f, 0.0, left, 0.0, f, place[0] * (height - f * height))


@helper
def _fixed(number):
    return np.int64(math.floor(number * 65536.0 + 0.5))


@helper
def _first(start, step, scale, count):
    """First x in 0..count with start + step * x >= 0; step > 0, scale = 1 / step."""
    if start >= 0:
        return np.int64(0)
    x = min(np.int64(-start * scale), count)
    while x < count and start + step * x < 0:
        x += 1
    while x > 0 and start + step * (x - 1) >= 0:
        x -= 1
    return x


@helper
def _inside(start, step, scale, sides):
    """Range lo..hi of the x in 0..count with 0 <= start + step * x < limit."""
    count, limit = sides
    if step == 0:
        return np.int64(0), count if 0 <= start < limit else np.int64(0)
    if step > 0:
        lo = _first(start, step, scale, count)
        return lo, _first(start - limit, step, scale, count)
    lo = _first(limit - 1 - start, -step, -scale, count)
    return lo, _first(-1 - start, -step, -scale, count)


@helper
def _copy_run(src, source, dst, target, length):
    for i in range(length):
        dst[target + i] = src[source + i]


@helper
def _paint(dst, offset, start, stop, fill):
    """Write the fill to the pixels start..stop of the row at an offset."""
    if U(fill.size) == U1:
        for x in range(offset + start, offset + stop):
            dst[x] = fill[0]
        return
    for x in range(start, stop):
        i = offset + U3 * x
        dst[i] = fill[0]
        dst[i + U1] = fill[1]
        dst[i + U2] = fill[2]


@helper
def _walk(src, dst, offset, span, origin, steps, size):
    """Sample the pixels of a row that lie inside; origin is that of the first."""
    width, channels = size[1], size[2]
    xx, yy = origin
    step_x, step_y = steps
    if step_x == _ONE and step_y == 0:
        start = (U(yy >> 16) * width + U(xx >> 16)) * channels
        length = (span[1] - span[0]) * channels
        _copy_run(src, start, dst, offset + span[0] * channels, length)
    elif channels == U1:
        for x in range(span[0], span[1]):
            dst[offset + x] = src[U(yy >> 16) * width + U(xx >> 16)]
            xx += step_x
            yy += step_y
    else:
        i = offset + span[0] * U3
        for _ in range(span[0], span[1]):
            j = (U(yy >> 16) * width + U(xx >> 16)) * U3
            dst[i] = src[j]
            dst[i + U1] = src[j + U1]
            dst[i + U2] = src[j + U2]
            i += U3
            xx += step_x
            yy += step_y


@helper
def _fold(i, side):
    """Index i of the image continued by reflection at its outermost pixels."""
    period = max(2 * (side - 1), 1)
    i %= period
    return period - i if i >= side else i


@helper
def _mirrored(src, dst, offset, span, origin, steps, size):
    """Sample the pixels start..stop of a row from the reflected image."""
    channels = size[2]
    height, width = np.int64(size[0]), np.int64(size[1])
    for x in range(span[0], span[1]):
        xx = origin[0] + steps[0] * np.int64(x)
        yy = origin[1] + steps[1] * np.int64(x)
        source = U(_fold(yy >> 16, height) * width + _fold(xx >> 16, width))
        for k in range(channels):
            dst[offset + x * channels + k] = src[source * channels + k]


@helper
def nearest(src, dst, m, size, fill, reflect):
    """Sample in Pillow's 16.16 fixed point."""
    width, channels = size[1], size[2]
    a0, a1, a3, a4 = _fixed(m[0]), _fixed(m[1]), _fixed(m[3]), _fixed(m[4])
    a2 = _fixed(m[2] + m[0] * 0.5 + m[1] * 0.5)
    a5 = _fixed(m[5] + m[3] * 0.5 + m[4] * 0.5)
    scale_x = 1.0 / a0 if a0 != 0 else 0.0
    scale_y = 1.0 / a3 if a3 != 0 else 0.0
    sides_x = (np.int64(width), np.int64(width) << 16)
    sides_y = (np.int64(width), np.int64(size[0]) << 16)
    steps = (a0, a3)
    for y in range(size[0]):
        xx, yy = a2 + a1 * np.int64(y), a5 + a4 * np.int64(y)
        x_lo, x_hi = _inside(xx, a0, scale_x, sides_x)
        y_lo, y_hi = _inside(yy, a3, scale_y, sides_y)
        lo = max(x_lo, y_lo)
        hi = max(min(x_hi, y_hi), lo)
        offset, start, stop = y * width * channels, U(lo), U(hi)
        if start < stop:
            origin = (xx + a0 * lo, yy + a3 * lo)
            _walk(src, dst, offset, (start, stop), origin, steps, size)
        if reflect:
            _mirrored(src, dst, offset, (U0, start), (xx, yy), steps, size)
            _mirrored(src, dst, offset, (stop, width), (xx, yy), steps, size)
        else:
            _paint(dst, offset, U0, start, fill)
            _paint(dst, offset, stop, width, fill)


@helper
def _neighbours(position, side, reflect):
    """Two source lines around a position, and the weight of the second."""
    position -= 0.5
    low = np.int64(math.floor(position))
    weight = position - low
    if reflect:
        return U(_fold(low, side)), U(_fold(low + 1, side)), weight
    first = min(max(low, 0), side - 1)
    return U(first), U(min(max(low + 1, 0), side - 1)), weight


@helper
def bilinear(src, dst, m, size, fill, reflect):
    """Sample in Pillow's double coordinates, truncated to whole levels."""
    height, width = np.int64(size[0]), np.int64(size[1])
    channels = size[2]
    i = U0
    for y in range(size[0]):
        y_out = np.float64(y) + 0.5
        for x in range(size[1]):
            x_out = np.float64(x) + 0.5
            x_in = m[0] * x_out + m[1] * y_out + m[2]
            y_in = m[3] * x_out + m[4] * y_out + m[5]
            inside = 0.0 <= x_in < width and 0.0 <= y_in < height
            if not inside and not reflect:
                for k in range(channels):
                    dst[i + k] = fill[k]
                i += channels
                continue
            left, right, dx = _neighbours(x_in, width, reflect)
            up, down, dy = _neighbours(y_in, height, reflect)
            up, down = up * size[1], down * size[1]
            for k in range(channels):
                first = np.float64(src[(up + left) * channels + k])
                second = np.float64(src[(up + right) * channels + k])
                above = first + (second - first) * dx
                first = np.float64(src[(down + left) * channels + k])
                second = np.float64(src[(down + right) * channels + k])
                below = first + (second - first) * dx
                dst[i + k] = np.uint8(above + (below - above) * dy)
            i += channels


@helper
def erase(dst, box, size, fill):
    """Write the fill to a box of pixels (H, W, K)."""
    pitch = size[1] * size[2]
    for y in range(U(box[0]), U(box[2])):
        _paint(dst, y * pitch, U(box[1]), U(box[3]), fill)


@helper
def erase_planes(view, box, size, norms, fill):
    """Write the normalised fill to a box of planes (K, H, W)."""
    height, width, channels = size
    for k in range(channels):
        value = norms[k * U256 + fill[k]]
        for y in range(U(box[0]), U(box[2])):
            offset = (k * height + y) * width
            for x in range(offset + U(box[1]), offset + U(box[3])):
                view[x] = value


@helper
def _axis(side, flip, shift, offsets, scale):
    """Offset of the source line of each of ``side`` lines, flipped and shifted."""
    for i in range(side):
        source = abs(i + shift)
        if source >= side:
            source = 2 * (side - 1) - source
        if flip:
            source = side - 1 - source
        offsets[U(i)] = U(source) * scale


@helper
def source_lines(flips, turns, shift, size, lines):
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


@helper
def _run(columns, ahead, behind):
    """First run of pixels ``ahead - behind`` apart: where it starts and stops."""
    count = U(columns.size)
    start = U0
    while start + U1 < count and columns[start + U1] + behind != columns[start] + ahead:
        start += U1
    stop = start + U1
    while stop < count and columns[stop] + behind == columns[stop - U1] + ahead:
        stop += U1
    return start, stop


@helper
def _copy_back(src, first, dst, target, count, channels):
    """Write ``count`` neighbouring pixels from ``first`` on in reverse order."""
    if channels == U1:
        for x in range(count):
            dst[target + x] = src[first + (count - U1 - x)]
        return
    for x in range(count):
        i, j = target + U3 * x, first + U3 * (count - U1 - x)
        dst[i] = src[j]
        dst[i + U1] = src[j + U1]
        dst[i + U2] = src[j + U2]


@helper
def _pick(src, dst, offset, row, columns, span):
    """Write the pixels span of the row at an offset, one by one."""
    for x in range(span[0], span[1]):
        i, j = offset + U3 * x, row + columns[x]
        dst[i] = src[j]
        dst[i + U1] = src[j + U1]
        dst[i + U2] = src[j + U2]


@helper
def _pick_grey(src, dst, offset, row, columns, span):
    for x in range(span[0], span[1]):
        dst[offset + x] = src[row + columns[x]]


@helper
def gather(src, dst, rows, columns, channels):
    """Write src[rows[y] + columns[x]] to dst[y, x]; runs of columns at once."""
    width = U(columns.size)
    middle = width >> U1
    flipped = columns[middle] < columns[max(middle, U1) - U1]
    start, stop = _run(
        columns, U0 if flipped else channels, channels if flipped else U0
    )
    count = stop - start
    for y in range(U(rows.size)):
        row, offset = rows[y], y * width * channels
        target = offset + start * channels
        if flipped:
            first = row + columns[stop - U1]
            _copy_back(src, first, dst, target, count, channels)
        else:
            _copy_run(src, row + columns[start], dst, target, count * channels)
        if channels == U1:
            _pick_grey(src, dst, offset, row, columns, (U0, start))
            _pick_grey(src, dst, offset, row, columns, (stop, width))
        else:
            _pick(src, dst, offset, row, columns, (U0, start))
            _pick(src, dst, offset, row, columns, (stop, width))
