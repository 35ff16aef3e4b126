"""What happens to a file before a model sees it: channels, size, value range.

Training, prediction and export share one Preprocessing, stored with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uda.data.images import (
    BadImage,
    fit,
    has_grey_mode,
    is_grey,
    letterbox_box,
    probe,
    read_image,
    value_span,
)
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]
Mode = Literal["letterbox", "squash"]
MODES: tuple[Mode, ...] = ("letterbox", "squash")

_CHANNEL_SAMPLE = 64
_DEPTH_SAMPLE = 64


@dataclass(frozen=True)
class Preprocessing:
    """How one file becomes one uint8 (H, W, K) image, and its normalisation.

    Attributes:
        size: (H, W) in pixels.
        channels: K, 1 or 3.
        mode: ``"letterbox"`` (bars of the mean colour) or ``"squash"``.
        value_range: (low, high) of 16-bit images that map to 0 and 255, or None.
        mean: (K,) mean of the data set in 0..1, bars left out.
        std: (K,) standard deviation in 0..1.
    """

    size: tuple[int, int]
    channels: int
    mode: Mode
    value_range: tuple[float, float] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def fill(self) -> tuple[int, ...]:
        """(K,) uint8 colour of bars, erased squares and uncovered corners."""
        return tuple(round(value * 255) for value in self.mean)

    def read(self, path: Path) -> UInt8:
        """Read one file as uint8 (H, W, K), exactly as the pool holds it.

        Raises:
            BadImage: when the file is no usable image.
        """
        channels: Literal[1, 3] = 1 if self.channels == 1 else 3
        image = read_image(path, channels=channels, value_range=self.value_range)
        return fit(image, self.size, mode=self.mode, fill=self.fill)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "size": list(self.size),
            "channels": self.channels,
            "mode": self.mode,
            "value_range": None if self.value_range is None else [*self.value_range],
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, value: Any) -> Preprocessing:
        """Rebuild from what :meth:`to_json` gave.

        Raises:
            DataError: when a field is missing or has the wrong shape.
        """
        try:
            span = value["value_range"]
            result = cls(
                size=(int(value["size"][0]), int(value["size"][1])),
                channels=int(value["channels"]),
                mode=value["mode"],
                value_range=None if span is None else (float(span[0]), float(span[1])),
                mean=tuple(float(v) for v in value["mean"]),
                std=tuple(float(v) for v in value["std"]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"stored preprocessing is damaged ({error!r}); train or export again"
            ) from error
        if result.mode not in MODES or result.channels not in (1, 3):
            raise DataError(
                f"stored preprocessing is not understood (mode {result.mode!r}, "
                f"{result.channels} channels); it may come from a newer version"
            )
        return result


def check_request(
    size: tuple[int, int],
    channels: int | None,
    mode: str,
    value_range: tuple[float, float] | None,
) -> None:
    """Refuse sizes, channels, modes and ranges that no pool can have.

    Raises:
        DataError: that names the value and what is allowed.
    """
    if len(size) != 2 or not all(1 <= side <= 16_384 for side in size):
        raise DataError(f"image size {size}: needs a height and a width, 1 to 16384")
    if channels not in (None, 1, 3):
        raise DataError(f"{channels} channels: give 1 (grey), 3 (colour) or leave out")
    if mode not in MODES:
        raise DataError(f"resize mode {mode!r}: choose from {', '.join(MODES)}")
    if value_range is not None and not value_range[0] < value_range[1]:
        raise DataError(f"value range {value_range}: low must be below high")


def content_box(
    source: tuple[int, int], size: tuple[int, int], mode: Mode
) -> tuple[int, int, int, int]:
    """Rows and columns [y0, y1) x [x0, x1) of the result that hold the image.

    Args:
        source: (H, W) of the image before ``fit``.
        size: (H, W) after it.
        mode: how it was fitted; a squashed image leaves no bars.
    """
    if mode == "squash":
        return 0, size[0], 0, size[1]
    top, left, height, width = letterbox_box(source, size)
    return top, top + height, left, left + width


def evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` of ``count`` indices, evenly spaced, always the same."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)


def detect_channels(files: Sequence[Path]) -> tuple[Literal[1, 3], str]:
    """Tell whether a data set has colour: 3 channels, or 1 and a note where unsure.

    Every header is read, so that the few images of a colour camera among many of a
    grey one count. Of the files that could hold colour an even sample is decoded; they
    are grey where three planes are equal in every pixel. Files that cannot be read
    have no say.
    """
    able = [path for path in files if not _says(has_grey_mode, path)]
    sample = [able[i] for i in evenly(len(able), _CHANNEL_SAMPLE)]
    if not all(_says(is_grey, path) for path in sample):
        return 3, ""
    if len(sample) == len(able):
        return 1, ""
    return 1, (
        f"{len(able)} files could hold colour; {len(sample)} of them were looked at "
        "and are grey, so all are read as grey (--channels 3 keeps colour)"
    )


def _says(grey: Callable[[Path], bool], path: Path) -> bool:
    try:
        return grey(path)
    except BadImage:
        return True


def detect_value_range(files: Iterable[Path]) -> tuple[float, float] | None:
    """Smallest and largest value over all images of more than 8 bits, or None.

    One range per data set keeps brightness comparable between images. Files that
    cannot be read have no say.
    """
    spans = [span for path in files if (span := _span(path)) is not None]
    if not spans:
        return None
    low = min(span[0] for span in spans)
    high = max(span[1] for span in spans)
    return (low, high) if low < high else (low, low + 1.0)


def mixed_depth(files: Sequence[Path]) -> str:
    """Say when some files have 8 bits and others more; every header is read.

    The deep ones are stretched to the range of the set, the others stay as they are:
    a kind of defect that comes from another camera is then told by its contrast.
    """
    bits = [found for path in files if (found := _bits(path))]
    deep = sum(found > 8 for found in bits)
    if deep in (0, len(bits)):
        return ""
    return (
        f"{deep} of {len(bits)} files have more than 8 bits and are stretched to the "
        "range of all these; the others are taken as they are. Where depth goes with "
        "the class, that is what is learned: convert all files alike"
    )


def depth_note(files: Sequence[Path], plan: Preprocessing) -> str | None:
    """Say that files are deeper, or less deep, than the images that a plan is for.

    Brightness is then mapped otherwise: 12 bits in a file of 16 are nearly black to a
    model of 8-bit images. A sample of the files is looked at.
    """
    deep = plan.value_range is not None
    sample = [files[place] for place in evenly(len(files), _DEPTH_SAMPLE)]
    bits = [found for path in sample if (found := _bits(path))]
    other = sum((found > 8) != deep for found in bits)
    if not other:
        return None
    if deep:
        return (
            f"{other} of {len(bits)} files looked at have 8 bits and are taken as they "
            "are; deep images of the training were mapped by their range "
            f"({plan.value_range}). If they look darker or flatter than those, convert "
            "them as those were"
        )
    return (
        f"{other} of {len(bits)} files looked at have more than 8 bits, the images of "
        "the training had 8: the full range of 16 bits (0 to 1 of floating point) "
        "becomes 0 to 255. If they look darker or flatter than those, convert them as "
        "those were"
    )


def _bits(path: Path) -> int:
    """Return the bits of a file's channels, 0 where it cannot be read."""
    try:
        return probe(path).bits
    except DataError:
        return 0


def _span(path: Path) -> tuple[float, float] | None:
    try:
        return value_span(path)
    except BadImage:
        return None
