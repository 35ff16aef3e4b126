"""Images as their own fine detail: what stays when exposure is taken away.

Local normalisation, structure common to the whole set, compact int8 storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda import rng

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

# Longest side, in pixels, of the set's median image at the working scale.
LONGEST = 128
# Images far from the median are held to these, so that memory stays bounded.
SMALLEST, LARGEST = 16, 384
# Smaller images stay as they are: enlarged, a block holds fewer pixels of the file, and
# agrees more easily by chance. Of the pairs found in the demo set at 64 pixels 25 of 28
# are right, enlarged twofold 14 of 52; at 48 pixels 5 of 5, enlarged 12 of 109.
_MAX_ENLARGEMENT = 4 / 3
# int8 steps per local standard deviation; the range +-4 holds all but outliers.
STEPS = 31.0
_WINDOW = 4.0
# Grey levels added to the local deviation: flat areas stay flat, noise stays small.
_NOISE_FLOOR = 2.0

_COMMON_FIT = 300
_COMMON_SHARE = 0.25
_COMMON_MAX = 24
_IMAGES_PER_COMPONENT = 100


@dataclass(frozen=True)
class Frames:
    """Normalised images of any sizes in one buffer.

    Attributes:
        flat: all pixels, int8, in steps of 1/31 of a local standard deviation.
        offsets: (N,) where each image begins.
        shapes: (N, 2) height and width in pixels.
    """

    flat: Int8
    offsets: Int64
    shapes: Int64

    @classmethod
    def of(cls, images: Sequence[Int8]) -> Frames:
        """Pack int8 images (H_i, W_i), as made by ``quantised``."""
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 2)
        sizes = shapes.prod(axis=1)
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        flat = np.concatenate([image.reshape(-1) for image in images] or [_NOTHING])
        return cls(flat, offsets[: len(images)], shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> Float32:
        """Return one image as (H, W) float32 in local standard deviations."""
        height, width = self.shapes[i]
        start = self.offsets[i]
        image = self.flat[start : start + height * width].reshape(height, width)
        return image.astype(np.float32) / np.float32(STEPS)


_NOTHING = np.zeros(0, np.int8)


def working_scale(longest: npt.ArrayLike) -> float:
    """Return the one factor that brings a data set to the working scale.

    One factor for all, since crops of one photo must keep their common scale.

    Args:
        longest: (N,) longest side of each image in pixels.
    """
    sides = np.asarray(longest, np.float64)
    factor = LONGEST / max(1.0, float(np.median(sides)))
    return factor if factor <= _MAX_ENLARGEMENT else 1.0


def resized(grey: UInt8, factor: float) -> UInt8:
    """Scale a grey image (H, W), each side kept between 16 and 384 pixels."""
    height, width = (
        min(LARGEST, max(SMALLEST, round(side * factor))) for side in grey.shape[:2]
    )
    return to_size(grey, (height, width))


def to_size(grey: UInt8, size: tuple[int, int]) -> UInt8:
    """Stretch a grey image (H, W) to (height, width), averaging when it shrinks."""
    if grey.shape == size:
        return grey
    source = Image.fromarray(np.ascontiguousarray(grey))
    scaled = source.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.uint8)


def normalised(grey: UInt8, window: float = _WINDOW) -> Float32:
    """Subtract the local mean and divide by the local standard deviation.

    Gain, offset and slow shading disappear, so that two exposures of one part
    become nearly equal; noise in flat areas is not blown up.

    Args:
        grey: (H, W) uint8.
        window: standard deviation of the Gaussian neighbourhood in pixels.

    Returns:
        (H, W) float32 in local standard deviations.
    """
    from scipy.ndimage import gaussian_filter

    image = grey.astype(np.float32)
    detail = image - gaussian_filter(image, window, mode="reflect")
    power = gaussian_filter(detail * detail, 1.5 * window, mode="reflect")
    return np.asarray(detail / (np.sqrt(power) + _NOISE_FLOOR), np.float32)


def quantised(detail: Float32) -> Int8:
    """Return normalised detail as int8; a quarter of the memory of float32."""
    steps = np.clip(np.rint(detail * STEPS), -127, 127)
    return np.asarray(steps, np.int8)


def without_common(frames: Frames, *, seed: int = 0) -> tuple[Frames, int]:
    """Take away what all images of a set share, as parts in one fixture do.

    Solar cells with the same bars, or a housing photographed in one holder, are
    alike wherever the picture shows the design: this says nothing about two images
    of one part. Where the leading principal component of equally large images holds
    more than a quarter of their energy, the leading components (one per 100 images,
    at most 24) are projected out. Few enough that a group cannot hold one alone.

    Returns:
        The frames without the common structure, and the number of components
        removed; the same frames and 0 where there is none.
    """
    count = len(frames)
    components = min(_COMMON_MAX, count // _IMAGES_PER_COMPONENT)
    if components < 1 or (frames.shapes != frames.shapes[0]).any():
        return frames, 0
    rows = frames.flat.reshape(count, -1)
    order = rng.permutation(seed, "common structure", 0, count)
    sample = rows[np.sort(order[:_COMMON_FIT])].astype(np.float32)
    energies, vectors = np.linalg.eigh(sample @ sample.T)
    if energies[-1] < _COMMON_SHARE * energies.sum():
        return frames, 0
    basis = vectors[:, -components:].T @ sample
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    cleaned = np.empty_like(rows)
    for start in range(0, count, _COMMON_FIT):
        block = rows[start : start + _COMMON_FIT].astype(np.float32)
        block -= (block @ basis.T) @ basis
        cleaned[start : start + _COMMON_FIT] = np.clip(np.rint(block), -127, 127)
    return Frames(cleaned.reshape(-1), frames.offsets, frames.shapes), components
