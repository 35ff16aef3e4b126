"""Texture descriptors of images, vectorised over a batch.

Local binary patterns, gradients, band-pass responses, blocks and the spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.cores import usable_cores
from uda.errors import DataError

Progress = Callable[[str, int, int], None]
Images = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]

PER_THREAD = 128  # images of _SIDE pixels at once: bounds the temporaries
_SIDE = 192
_LEVELS = 3  # octaves of the pyramid: full size, half, quarter
MIN_SIDE = 8  # a level smaller than this has no texture left
_ORIENTATIONS = 8
_RINGS = 8
_BANDS = (0.7, 1.4, 2.8, 5.6)  # Gaussian widths in pixels, an octave apart
_TINY = 1e-4
_ROUNDING = 1e-5  # far below one grey level, 1/255


def texture_features(
    images: npt.NDArray[np.uint8],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """Describe images by their texture at several scales.

    Per octave: histogram of rotation-invariant uniform local binary patterns
    (Ojala et al. 2002), statistics and orientations of the gradient, outliers
    among blocks (a small defect is one). For the whole image: tails of the
    band-pass responses, rings and sectors of the power spectrum, moments of
    the values, and mean and deviation of each channel if there are three. All
    but the moments and the channels are taken at even exposure.

    Args:
        images: (N, H, W, K) uint8.
        threads: that work side by side; all cores when None. The result does
            not depend on it.
        progress: called with ("texture", done, total).

    Returns:
        (N, F) float32; F depends on the images' size and channels only.

    Raises:
        DataError: for images that are too small to have a texture.
    """
    if min(images.shape[1:3]) < MIN_SIDE:
        raise DataError(
            f"texture needs images of {MIN_SIDE} x {MIN_SIDE} pixels or more, not "
            f"{images.shape[1]} x {images.shape[2]}; give a larger --imgsz"
        )
    size = chunk_of(images.shape, PER_THREAD)
    starts = range(0, len(images), size)
    # No row, but the right number of columns, also when there are no images.
    described = [_describe(np.zeros((1, *images.shape[1:]), np.uint8))[:0]]
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        chunks = pool.map(lambda start: _describe(images[start : start + size]), starts)
        for features in chunks:
            described.append(features)
            if progress is not None:
                progress(
                    "texture",
                    min((len(described) - 1) * size, len(images)),
                    len(images),
                )
    return np.concatenate(described)


def chunk_of(shape: tuple[int, ...], of_small: int) -> int:
    """Return how many images (N, H, W, K) are worked on at once.

    Args:
        shape: of the images.
        of_small: how many of 192 x 192 pixels or less; larger ones in proportion fewer.
    """
    pixels = max(shape[1] * shape[2], _SIDE**2)
    return max(1, of_small * _SIDE**2 // pixels)


def _describe(images: npt.NDArray[np.uint8]) -> Features:
    block = np.asarray(images).astype(np.float32) / 255
    gray = block.mean(axis=3)
    parts = [moments(gray.reshape(len(gray), -1))]
    gray = even_exposure(gray)
    parts += [spectrum(gray), bands(gray)]
    if block.shape[3] > 1:
        channels = block.reshape(len(block), -1, block.shape[3])
        parts += [channels.mean(axis=1), channels.std(axis=1)]
    level = gray
    for octave in range(_LEVELS):
        if min(level.shape[1:]) < MIN_SIDE:
            break
        # Radius 1 of a coarser octave repeats radius 2 of the finer one.
        radii = (1, 2) if octave == 0 else (2,)
        parts += [binary_patterns(level, radius) for radius in radii]
        parts += [gradients(level), blocks(level)]
        level = halve(level)
    return np.concatenate([p.astype(np.float32) for p in parts], axis=1)


def even_exposure(images: Images) -> Images:
    """Return (N, H, W) divided by each image's mean, up to a dark floor.

    Another exposure of the same part multiplies its values, and so its texture.
    """
    mean = images.mean(axis=(1, 2), keepdims=True)
    return np.asarray(images * (0.4 / (mean + 0.05)), dtype=np.float32)


def halve(images: Images) -> Images:
    """Return (N, H // 2, W // 2): means of 2 x 2 pixels."""
    even = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
    top, bottom = even[:, ::2], even[:, 1::2]
    upper, lower = (
        top[:, :, ::2] + top[:, :, 1::2],
        bottom[:, :, ::2] + bottom[:, :, 1::2],
    )
    return np.asarray((upper + lower) / 4, dtype=np.float32)


def binary_patterns(images: Images, radius: int) -> Features:
    """Return (N, 10) shares of uniform local binary patterns, 8 neighbours.

    Equals scikit-image's ``local_binary_pattern(image, 8, radius, "uniform")``
    on the pixels whose neighbours are all inside the image. Bins 0-8: that
    many brighter neighbours in one run; bin 9: more than one run.
    """
    height, width = images.shape[1:]
    reach = radius
    inner = images[:, reach : height - reach, reach : width - reach]
    bits = np.empty((8, *inner.shape), dtype=np.uint8)
    for point in range(8):
        angle = 2 * np.pi * point / 8
        dy = round(-radius * np.sin(angle), 5)
        dx = round(radius * np.cos(angle), 5)
        # Rounding of the interpolation must not decide on a flat surface.
        bits[point] = _shifted(images, dy, dx, reach) - inner >= -_ROUNDING
    ones = bits.sum(axis=0, dtype=np.uint8)
    changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0, dtype=np.uint8)
    code = np.where(changes <= 2, ones, 9).reshape(len(images), -1)
    return _histograms(code, 10)


def _shifted(images: Images, dy: float, dx: float, reach: int) -> Images:
    """Return the inner window moved by (dy, dx), bilinear between pixels."""
    height, width = images.shape[1] - 2 * reach, images.shape[2] - 2 * reach
    y0, x0 = int(np.floor(dy)), int(np.floor(dx))
    fy, fx = dy - y0, dx - x0
    total: Images | None = None
    for oy, wy in ((0, 1 - fy), (1, fy)):
        for ox, wx in ((0, 1 - fx), (1, fx)):
            if wy * wx == 0:
                continue
            top, left = reach + y0 + oy, reach + x0 + ox
            part = images[:, top : top + height, left : left + width]
            part = part if wy * wx == 1 else part * np.float32(wy * wx)
            total = part if total is None else total + part
    assert total is not None  # the weights sum to 1
    return total


def _histograms(codes: npt.NDArray[Any], bins: int) -> Features:
    """Return (N, bins) shares of each row's codes (N, P)."""
    num, pixels = codes.shape
    offset = codes.astype(np.int64) + np.arange(num)[:, None] * bins
    counts = np.bincount(offset.reshape(-1), minlength=num * bins)
    return np.asarray(counts.reshape(num, bins) / pixels, dtype=np.float32)


def gradients(images: Images) -> Features:
    """Return (N, 8 + 8 + 7) orientations and size of the gradient.

    The orientation histogram (weighted by magnitude) comes as it is and
    rolled so that its peak is first: the first tells directions apart, the
    second does not care how the part was turned.
    """
    dy = images[:, 2:, 1:-1] - images[:, :-2, 1:-1]
    dx = images[:, 1:-1, 2:] - images[:, 1:-1, :-2]
    size = np.hypot(dy, dx).reshape(len(images), -1)
    turn = (np.arctan2(dy, dx) / np.pi) % 1.0 * _ORIENTATIONS
    bins = turn.astype(np.int64).reshape(len(images), -1) % _ORIENTATIONS
    offset = bins + np.arange(len(images))[:, None] * _ORIENTATIONS
    weights = np.bincount(
        offset.reshape(-1), size.reshape(-1), len(images) * _ORIENTATIONS
    ).reshape(len(images), _ORIENTATIONS)
    shares = weights / (weights.sum(axis=1, keepdims=True) + _TINY)
    first = shares.argmax(axis=1)[:, None] + np.arange(_ORIENTATIONS)
    rolled = np.take_along_axis(shares, first % _ORIENTATIONS, axis=1)
    return np.concatenate([shares, rolled, _sizes(size)], axis=1).astype(np.float32)


def _sizes(values: npt.NDArray[np.float32]) -> Features:
    """Return (N, 7) logarithms of a positive quantity's mean and quantiles."""
    levels = np.quantile(values, (0.1, 0.5, 0.9, 0.99, 1.0), axis=1).T
    mean, spread = values.mean(axis=1), values.std(axis=1)
    table = np.concatenate([np.stack([mean, spread], axis=1), levels], axis=1)
    return np.asarray(np.log(table + 1e-3), dtype=np.float32)


def blocks(images: Images) -> Features:
    """Return (N, 12): how far blocks of an eighth of the side stand out."""
    side = max(2, min(images.shape[1:]) // 8)
    rows, columns = images.shape[1] // side, images.shape[2] // side
    cut = images[:, : rows * side, : columns * side]
    tiles = cut.reshape(len(images), rows, side, columns, side)
    mean = tiles.mean(axis=(2, 4)).reshape(len(images), -1)
    spread = tiles.std(axis=(2, 4)).reshape(len(images), -1)
    return np.concatenate([_outliers(mean), _outliers(np.log(spread + 1e-3))], axis=1)


def _outliers(values: npt.NDArray[np.float32]) -> Features:
    """Return (N, 6) where the extremes lie, from the median, in spreads."""
    low, quarter, middle, three, high = np.quantile(
        values, (0.0, 0.25, 0.5, 0.75, 1.0), axis=1
    )
    width = three - quarter
    scaled = [(high - middle) / (width + 0.01), (middle - low) / (width + 0.01)]
    columns = [middle, np.log(width + 1e-3), high - middle, middle - low, *scaled]
    return np.stack(columns, axis=1).astype(np.float32)


def bands(images: Images) -> Features:
    """Return (N, 3 * 8) shape of the response in three octaves of scale.

    Differences of Gaussians; a scratch or a spot is a heavy tail on the bright
    or on the dark side.
    """
    from scipy.ndimage import gaussian_filter

    smooth = [gaussian_filter(images, (0, width, width)) for width in _BANDS]
    parts: list[npt.NDArray[Any]] = []
    for fine, coarse in pairwise(smooth):
        # Away from the border, where the filter has to guess.
        response = (fine - coarse)[:, 2:-2, 2:-2].reshape(len(images), -1)
        centred = response - response.mean(axis=1, keepdims=True)
        spread = centred.std(axis=1) + 1e-3
        unit = centred / spread[:, None]
        tails = np.quantile(unit, (0.001, 0.01, 0.99, 0.999), axis=1)
        peak = np.quantile(np.abs(centred), 0.999, axis=1)
        skew, kurtosis = _third_and_fourth(unit)
        parts += [np.log(spread), np.cbrt(skew), np.log(kurtosis + 1), *tails]
        parts += [np.log(peak + 1e-3)]
    return np.stack(parts, axis=1).astype(np.float32)


def moments(values: npt.NDArray[np.float32]) -> Features:
    """Return (N, 4) mean, log deviation, skewness and kurtosis of (N, P)."""
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    spread = values.std(axis=1) + _TINY
    unit = centred / spread[:, None]
    skew, kurtosis = _third_and_fourth(unit)
    table = [mean, np.log(spread), np.cbrt(skew), np.log(kurtosis + 1)]
    return np.stack(table, axis=1).astype(np.float32)


def _third_and_fourth(
    unit: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return (N,) mean cubes and fourth powers of (N, P)."""
    square = unit * unit  # products: a general power is ten times slower
    return (square * unit).mean(axis=1), (square * square).mean(axis=1)


def spectrum(images: Images) -> Features:
    """Return (N, 8 + 8) log power in rings and shares in sectors."""
    height, width = images.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(centred * window)) ** 2
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(fy, fx)
    usable = (radius > 0) & (radius <= 0.5)
    ring = np.clip(radius / 0.5 * _RINGS, 0, _RINGS - 1).astype(np.int64)
    angle = (np.arctan2(fy, fx) / np.pi) % 1.0 * _ORIENTATIONS
    sector = (angle + 0.5).astype(np.int64) % _ORIENTATIONS
    chosen = power[:, usable]
    rings = chosen @ _indicator(ring[usable], _RINGS)
    sectors = chosen @ _indicator(sector[usable], _ORIENTATIONS)
    total = sectors.sum(axis=1, keepdims=True) + _TINY
    return np.concatenate([np.log(rings + _TINY), sectors / total], axis=1).astype(
        np.float32
    )


def _indicator(index: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float64]:
    """Return (P, size) that averages over the members of each bin."""
    chosen = np.eye(size)[index]
    return np.asarray(chosen / np.maximum(chosen.sum(axis=0), 1))
