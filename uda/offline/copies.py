"""Augmented copies as files: which source, which random numbers, which pixels.

Copy i of a class is a pure function of the images, the policy, the seed, the class
and i: more copies are the same ones and further ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.data.images import DEEP_RANGES, BadImage, has_grey_mode, probe, read_image
from uda.errors import DataError
from uda.files import atomic_path
from uda.offline.originals import Original
from uda.rng import permutation

UInt8 = npt.NDArray[np.uint8]
Range = tuple[float, float]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's conversion to grey
_DEEPEST = 65535.0


@dataclass(frozen=True)
class Copy:
    """One copy to be made.

    Attributes:
        path: in the new set, beside its source.
        source: the image it is made of.
        stream: name of the random stream, one for each class.
        counter: number of the copy in its class, from 0.
    """

    path: str
    source: Original
    stream: str
    counter: int


@dataclass(frozen=True)
class Look:
    """How the images of a set become pixels, the same for all of them.

    Attributes:
        mean: (3,) mean colour of the training images, 0..255.
        value_range: (low, high) of the images of more than 8 bits, or None.
    """

    mean: tuple[float, float, float]
    value_range: Range | None

    def fill(self, channels: int) -> UInt8:
        """Return the (K,) colour that moving ops and cutout write."""
        if channels == 3:
            return np.array([round(value) for value in self.mean], dtype=np.uint8)
        luma = sum(w * m for w, m in zip(_LUMA, self.mean, strict=True))
        return np.array([round(luma)], dtype=np.uint8)


def plan_copies(
    label: str, sources: Sequence[Original], num: int, *, seed: int
) -> list[Copy]:
    """Choose the sources of a class's copies: all in turn, each round reshuffled.

    Args:
        label: the class; names the random stream.
        sources: its images, sorted by path; at least one.
        num: copies to make.
        seed: of the rounds' order and of the copies.
    """
    stream = f"offline/{label}"
    rounds = -(-num // len(sources))
    order = [
        int(i)
        for number in range(rounds)
        for i in permutation(seed, stream, number, len(sources))
    ]
    return [
        Copy(_beside(sources[order[i]].path, i), sources[order[i]], stream, i)
        for i in range(num)
    ]


def _beside(path: str, number: int) -> str:
    source = PurePosixPath(path)
    return source.with_name(f"{source.stem}.aug{number:05d}.png").as_posix()


def pixels(image: Original, look: Look) -> UInt8:
    """Read an image at its own size: (H, W, 1) grey or (H, W, 3) colour, uint8.

    Raises:
        BadImage: when it cannot be decoded.
    """
    file = image.record.file
    channels: Literal[1, 3] = 1 if has_grey_mode(file) else 3
    return read_image(file, channels=channels, value_range=look.value_range)


def make_copy(
    copy: Copy, policy: Policy | PythonPolicy, target: Path, *, seed: int, look: Look
) -> bool:
    """Write one copy, or take the one that an interrupted call left.

    Args:
        copy: what to make.
        policy: native or Python.
        target: file of the copy.
        seed: as in `plan_copies`.
        look: mean colour and value range of the set.

    Returns:
        Whether any pixel differs from the source.

    Raises:
        DataError: a fault of a Python policy, or an image too large.
    """
    source = pixels(copy.source, look)
    span = _deep(copy.source, look)
    made = _left(target, span)
    if made is None or made.shape != source.shape:
        view = _rendered(copy, policy, source, seed=seed, look=look)
        with atomic_path(target) as temporary:
            _picture(view, span).save(temporary, format="PNG")
        # Read back, so that a call that finds the file says the same.
        made = view if span is None else _left(target, span)
    return made is None or not np.array_equal(made, source)


def _rendered(
    copy: Copy, policy: Policy | PythonPolicy, source: UInt8, *, seed: int, look: Look
) -> UInt8:
    try:
        views = render(
            policy,
            source[None],
            seed=seed,
            stream=copy.stream,
            counters=[copy.counter],
            fill=look.fill(source.shape[2]),
        )
    except DataError as error:
        raise DataError(f"{copy.source.path}: {error}") from error
    return np.asarray(views[0])


def _left(target: Path, span: Range | None) -> UInt8 | None:
    """Return the pixels of a copy that is there already and whole."""
    if not target.is_file():
        return None
    try:
        channels: Literal[1, 3] = 1 if has_grey_mode(target) else 3
        return read_image(target, channels=channels, value_range=span)
    except BadImage:
        return None


def _deep(image: Original, look: Look) -> Range | None:
    """Return the range of an image whose copies have 16 bits, None for 8 bits.

    Floating point and values that 16 bits cannot hold give copies of 8 bits.
    """
    mode = probe(image.record.file).mode
    span = look.value_range or DEEP_RANGES.get(mode)
    if mode not in DEEP_RANGES or mode == "F" or span is None:
        return None
    return span if span[0] >= 0 and span[1] <= _DEEPEST else None


def _picture(made: UInt8, span: Range | None) -> Image.Image:
    """Return what to save: the bytes, or grey levels spread over 16 bits again."""
    if span is None:
        return Image.fromarray(made if made.shape[2] == 3 else made[:, :, 0])
    low, high = span
    values = low + made[:, :, 0].astype(np.float64) * ((high - low) / 255.0)
    return Image.fromarray(np.rint(values).astype(np.uint16))
