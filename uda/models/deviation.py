"""How far an image strays from what is typical at each place of it.

Parts on a line are photographed alike, so most of a pile shows the same thing at the
same place. What is typical is read off the pile without a label: the median and the
spread of some filter responses at every pixel. An image is then described by how far
it is from that, over the whole image and at its most unusual places. Source of the
idea: Defard et al., "PaDiM", ICPR 2021 (there with features of a trained network).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from uda.cores import usable_cores
from uda.models.descriptors import even_exposure

Floats = npt.NDArray[np.float32]

NUM_MAPS = 7
PER_MAP = 16
_WIDTHS = (0.7, 1.5, 3.0)  # Gaussian widths in pixels
_WINDOW = 5  # side of the neighbourhood whose spread is a response
_LEVELS = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_TAILS = (0.001, 0.01, 0.99, 0.999)
_FLOOR = 0.01  # spread of a place that never changes
_CHUNK = 64


class Typical(NamedTuple):
    """What is usual at each place.

    Attributes:
        middle: (M, H, W) median of each response.
        spread: (M, H, W) its median absolute deviation, as a standard deviation.
    """

    middle: Floats
    spread: Floats

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.middle.shape[1:]
        return int(height), int(width)

    @classmethod
    def of(cls, images: npt.NDArray[Any]) -> Typical:
        """Read it off images (N, H, W, K) in 0..255, whatever they show."""
        chunks = [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]
        middle, spread = [], []
        # One response after the other: all of them at once would need gigabytes.
        for place in range(NUM_MAPS):
            one = np.concatenate([_responses(chunk)[:, place] for chunk in chunks])
            centre = np.median(one, axis=0)
            middle.append(centre)
            spread.append(1.4826 * np.median(np.abs(one - centre), axis=0) + _FLOOR)
        return cls(
            np.stack(middle).astype(np.float32), np.stack(spread).astype(np.float32)
        )


def framed_alike(images: npt.NDArray[Any]) -> float:
    """Return which share of the images' detail their mean image explains.

    Near 1 where all show the same thing at the same place, near 0 where places have
    nothing in common. Detail is finer than a sixteenth of the image, so that uneven
    light, which lies on all images alike, does not count.

    Args:
        images: (N, H, W, K) in 0..255, whatever they show; N is 2 or more.

    Returns:
        The share, without what N images have in common by chance; 0 where there is no
        detail at all.
    """
    from scipy.ndimage import gaussian_filter

    grey = np.asarray(images, dtype=np.float64).mean(axis=3)
    width = max(grey.shape[1:]) / 16
    grey -= gaussian_filter(grey, (0, width, width))
    whole, num = float(np.square(grey).mean()), len(grey)
    if whole < 1e-6 or num < 2:  # less than a grey level anywhere
        return 0.0
    share = float(np.square(grey.mean(axis=0)).mean()) / whole
    return (num * share - 1) / (num - 1)


def reduced(images: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return (N, *size, K) in 0..255: means of the pixels that each new one covers.

    Images of that size already come back as they are.
    """
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    import torch

    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    smaller = torch.nn.functional.interpolate(pixels, size, mode="area")
    found: npt.NDArray[np.float32] = smaller.permute(0, 2, 3, 1).numpy()
    return found


def deviation_features(
    images: npt.NDArray[Any], typical: Typical, *, threads: int | None = None
) -> Floats:
    """Describe images by their deviations from what is typical.

    Per response: quantiles and the size of the deviations, and the tails of the
    deviations smoothed over some pixels, which a lone noisy pixel does not reach.

    Args:
        images: (N, H, W, K) in 0..255 of the size that ``typical`` was read off.
        typical: from `Typical.of`.
        threads: that work side by side; all cores when None. The result does not
            depend on it.

    Returns:
        (N, 7 * 16) float32.
    """
    starts = range(0, len(images), _CHUNK)
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        found = list(
            pool.map(lambda i: _describe(images[i : i + _CHUNK], typical), starts)
        )
    return np.concatenate([np.zeros((0, NUM_MAPS * PER_MAP), np.float32), *found])


def _describe(images: npt.NDArray[Any], typical: Typical) -> Floats:
    from scipy.ndimage import gaussian_filter

    strays = (_responses(images) - typical.middle) / typical.spread
    parts = []
    for place in range(NUM_MAPS):
        one = strays[:, place]
        flat = one.reshape(len(one), -1)
        smooth = gaussian_filter(one, (0, 2, 2)).reshape(len(one), -1)
        sizes = [
            np.log(mean + 1e-2)
            for mean in (
                np.abs(flat).mean(1),
                np.square(flat).mean(1),
                np.square(np.square(flat)).mean(1),
            )
        ]
        parts += [np.arcsinh(np.quantile(flat, _LEVELS, axis=1)), np.stack(sizes)]
        parts += [np.arcsinh(np.quantile(smooth, _TAILS, axis=1))]
    return np.concatenate(parts).T.astype(np.float32)


def _responses(images: npt.NDArray[Any]) -> Floats:
    """Return (N, 7, H, W): smoothed three times, two bands, roughness, edges."""
    from scipy.ndimage import gaussian_filter, uniform_filter

    gray = even_exposure(images.astype(np.float32).mean(axis=3) / 255)
    smooth = [gaussian_filter(gray, (0, width, width)) for width in _WIDTHS]
    window = (0, _WINDOW, _WINDOW)
    variance = uniform_filter(gray * gray, window) - uniform_filter(gray, window) ** 2
    dy, dx = np.gradient(smooth[0], axis=(1, 2))
    maps = [
        *smooth,
        smooth[0] - smooth[1],
        smooth[1] - smooth[2],
        np.log(np.sqrt(np.maximum(variance, 0)) + 0.01),
        np.log(np.hypot(dy, dx) + 0.01),
    ]
    return np.stack(maps, axis=1).astype(np.float32)
