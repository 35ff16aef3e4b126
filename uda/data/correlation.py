"""Does one image continue in another? Correlation block by block at a given shift.

Compiled kernels; turns and mirrors are applied by index, pixels stay int8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from uda.augment.loading import cache_folder
from uda.data.detail import LARGEST, STEPS, Frames

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Side of a block at the working scale, in pixels.
BLOCK = 16
# Fewer blocks than this prove nothing.
MIN_BLOCKS = 4
# Each block may move by this much: room for a little scale, tilt and rounding.
_PLAY = 2
_ALIGN_RADIUS = 4
_MIN_OVERLAP = 0.08

# A turn is three bits: 4 transpose first, then 2 upside down, then 1 left-right.
NUM_TURNS = 8
TURN_NAMES = (
    "as it is",
    "mirrored left-right",
    "mirrored upside down",
    "turned by 180°",
    "mirrored along the diagonal",
    "turned by 270°",
    "turned by 90°",
    "mirrored along the other diagonal",
)


def turned(image: npt.NDArray[np.generic], turn: int) -> npt.NDArray[np.generic]:
    """Apply a turn to an image (H, W, ...): one of 4 rotations x mirror."""
    result = image.swapaxes(0, 1) if turn & 4 else image
    result = result[::-1] if turn & 2 else result
    return result[:, ::-1] if turn & 1 else result


def turn_matrices() -> Float64:
    """Return (8, 2, 2): how a turn maps (y, x) measured from the image's centre."""
    matrices = []
    for turn in range(NUM_TURNS):
        matrix = np.eye(2)[::-1] if turn & 4 else np.eye(2)
        signs = np.array([-1.0 if turn & 2 else 1.0, -1.0 if turn & 1 else 1.0])
        matrices.append(signs[:, None] * matrix)
    return np.stack(matrices)


class Scores(NamedTuple):
    """What the correlation of M pairs says.

    Attributes:
        score: (M,) median over blocks of the correlation of their detail, weighted
            by how much detail a block has; -1 where the overlap is too small.
        blocks: (M,) how many blocks were compared.
        overlap: (M,) shared share of the smaller image.
        shift: (M, 2) refined shift of the centre, in pixels of the working scale.
    """

    score: Float64
    blocks: Int64
    overlap: Float64
    shift: Float64


def score_pairs(
    frames: Frames,
    pairs: tuple[Int64, Int64],
    *,
    turns: Int64,
    shifts: Float64,
) -> Scores:
    """Lay the first image of each pair, turned and shifted, on the second.

    The shift is refined by plain correlation within 4 pixels. Then the overlap is
    cut into blocks of 16 x 16; in each, rows and columns lose their mean, which
    takes away straight lines along an axis: a shared scratch or bar is no proof of
    a shared photo, the texture around it is. The median over blocks asks that the
    detail agrees in most of the overlap, not in one striking spot.

    Args:
        frames: normalised images.
        pairs: two (M,) arrays of image numbers.
        turns: (M,) turn of the first image, 0..7.
        shifts: (M, 2) by how much the turned first image's centre coordinates grow.
    """
    first, second = (np.ascontiguousarray(side, np.int64) for side in pairs)
    table = np.empty((len(first), 5), np.float64)
    _score_all(
        frames.flat,
        frames.offsets,
        frames.shapes,
        first,
        second,
        np.ascontiguousarray(turns, np.int64),
        np.ascontiguousarray(shifts, np.float64),
        table,
    )
    return Scores(
        table[:, 0], table[:, 1].astype(np.int64), table[:, 2], table[:, 3:5].copy()
    )


def _kernel(*, fastmath: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at its first call, once per machine where that can be kept.

    It is kept in the user's own folder: an installation may be read-only, and numba
    then refuses to cache at all.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        config: Any = numba.config
        before, folder = config.CACHE_DIR, cache_folder()
        try:
            config.CACHE_DIR = folder
            jit = numba.njit(cache=bool(folder), fastmath=fastmath, nogil=True)
            return jit(function)
        finally:
            config.CACHE_DIR = before

    return decorate


@_kernel(fastmath=True)
def _score_all(flat, offsets, shapes, first, second, turns, shifts, table):  # type: ignore[no-untyped-def]
    one = np.empty((LARGEST, LARGEST), np.float32)
    two = np.empty((LARGEST, LARGEST), np.float32)
    side = LARGEST // BLOCK + 1
    values = np.empty(side * side, np.float64)
    weights = np.empty(side * side, np.float64)
    for n in range(len(first)):
        i, j = first[n], second[n]
        a = _load(flat, offsets[i], shapes[i, 0], shapes[i, 1], turns[n], one)
        b = _load(flat, offsets[j], shapes[j, 0], shapes[j, 1], 0, two)
        middle_y = (b.shape[0] - a.shape[0]) / 2.0
        middle_x = (b.shape[1] - a.shape[1]) / 2.0
        dy, dx, share = _align(
            a,
            b,
            int(np.rint(shifts[n, 0] + middle_y)),
            int(np.rint(shifts[n, 1] + middle_x)),
        )
        count = _score_blocks(a, b, dy, dx, values, weights)
        table[n, 0] = _weighted_median(values, weights, count)
        table[n, 1] = count
        table[n, 2] = share
        table[n, 3] = dy - middle_y
        table[n, 4] = dx - middle_x


@_kernel()
def _load(flat, offset, height, width, turn, buffer):  # type: ignore[no-untyped-def]
    rows, columns = (width, height) if turn & 4 else (height, width)
    for y in range(rows):
        v = rows - 1 - y if turn & 2 else y
        for x in range(columns):
            u = columns - 1 - x if turn & 1 else x
            at = u * width + v if turn & 4 else v * width + u
            buffer[y, x] = np.float32(flat[offset + at]) / np.float32(STEPS)
    return buffer[:rows, :columns]


@_kernel(fastmath=True)
def _align(a, b, ty, tx):  # type: ignore[no-untyped-def]
    best, by, bx, share = -2.0, ty, tx, 0.0
    area = min(a.size, b.size)
    for dy in range(ty - _ALIGN_RADIUS, ty + _ALIGN_RADIUS + 1):
        for dx in range(tx - _ALIGN_RADIUS, tx + _ALIGN_RADIUS + 1):
            y0, y1 = max(0, -dy), min(a.shape[0], b.shape[0] - dy)
            x0, x1 = max(0, -dx), min(a.shape[1], b.shape[1] - dx)
            if y1 <= y0 or x1 <= x0 or (y1 - y0) * (x1 - x0) < _MIN_OVERLAP * area:
                continue
            r = _correlation(a, b, y0, y1, x0, x1, dy, dx)
            if r > best:
                best, by, bx = r, dy, dx
                share = (y1 - y0) * (x1 - x0) / area
    return by, bx, share


@_kernel(fastmath=True)
def _correlation(a, b, y0, y1, x0, x1, dy, dx):  # type: ignore[no-untyped-def]
    ab, aa, bb = np.float32(0), np.float32(0), np.float32(0)
    for y in range(y0, y1, 2):  # every second row: alignment needs no more
        for x in range(x0, x1):
            u, v = a[y, x], b[y + dy, x + dx]
            ab += u * v
            aa += u * u
            bb += v * v
    return ab / np.sqrt(aa * bb + np.float32(1e-6))


@_kernel(fastmath=True)
def _score_blocks(a, b, dy, dx, values, weights):  # type: ignore[no-untyped-def]
    y0, y1 = max(0, -dy), min(a.shape[0], b.shape[0] - dy)
    x0, x1 = max(0, -dx), min(a.shape[1], b.shape[1] - dx)
    rows, columns = (y1 - y0) // BLOCK, (x1 - x0) // BLOCK
    if rows < 1 or columns < 1:
        return 0
    y0 += (y1 - y0 - rows * BLOCK) // 2
    x0 += (x1 - x0 - columns * BLOCK) // 2
    one = np.empty((BLOCK, BLOCK), np.float32)
    two = np.empty((BLOCK, BLOCK), np.float32)
    count = 0
    for by in range(rows):
        for bx in range(columns):
            y, x = y0 + by * BLOCK, x0 + bx * BLOCK
            best, weight = _best_in_play(a, b, y, x, dy, dx, one, two)
            if best > -1.0:
                values[count] = best
                weights[count] = weight
                count += 1
    return count


@_kernel(fastmath=True)
def _best_in_play(a, b, y, x, dy, dx, one, two):  # type: ignore[no-untyped-def]
    aa = _centred(a, y, x, one)
    best, weight = -2.0, 0.0
    for py in range(y + dy - _PLAY, y + dy + _PLAY + 1):
        for px in range(x + dx - _PLAY, x + dx + _PLAY + 1):
            inside = py >= 0 and px >= 0
            if not inside or py + BLOCK > b.shape[0] or px + BLOCK > b.shape[1]:
                continue
            bb = _centred(b, py, px, two)
            ab = np.float32(0)
            for v in range(BLOCK):
                for u in range(BLOCK):
                    ab += one[v, u] * two[v, u]
            energy = np.sqrt(aa * bb + np.float32(1e-3))
            if ab / energy > best:
                # A block with much detail counts once, not many times.
                best, weight = ab / energy, min(energy / (BLOCK * BLOCK), 0.25)
    return best, weight


@_kernel(fastmath=True)
def _centred(image, y0, x0, block):  # type: ignore[no-untyped-def]
    """Copy a block without its row and column means; return its energy."""
    columns = np.zeros(BLOCK, np.float32)
    for y in range(BLOCK):
        mean = np.float32(0)
        for x in range(BLOCK):
            mean += image[y0 + y, x0 + x]
        mean /= np.float32(BLOCK)
        for x in range(BLOCK):
            value = image[y0 + y, x0 + x] - mean
            block[y, x] = value
            columns[x] += value
    energy = np.float32(0)
    for y in range(BLOCK):
        for x in range(BLOCK):
            value = block[y, x] - columns[x] / np.float32(BLOCK)
            block[y, x] = value
            energy += value * value
    return energy


@_kernel()
def _weighted_median(values, weights, count):  # type: ignore[no-untyped-def]
    if count < MIN_BLOCKS:
        return -1.0
    order = np.argsort(values[:count])
    half = weights[:count].sum() / 2
    total = 0.0
    for k in order:
        total += weights[k]
        if total >= half:
            return values[k]
    return values[order[-1]]
