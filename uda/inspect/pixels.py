"""What the pixels say: sizes, modes, brightness, contrast, colours, tiny copies.

One pass over the files; per image it keeps numbers and a 40 x 40 grey copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda.data.images import BadImage, fit, probe, read_image
from uda.data.preprocessing import detect_value_range
from uda.data.records import Record

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]

TINY = 40
_COLOR_SIDE = 24
_COLOR_STEP = 32
_COLORS = 3
# Planes that differ by no more than this are grey, whatever JPEG made of them.
_GREY_TOLERANCE = 2


@dataclass(frozen=True)
class Look:
    """One image in numbers.

    Attributes:
        width, height: in pixels, as seen.
        mode: Pillow's mode; bits: per channel.
        brightness, contrast: mean and standard deviation of grey, in levels of 255.
        tiny: (40, 40) grey; small: (24, 24, 3) RGB.
        reason: why it could not be read; empty when it could.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    bits: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    tiny: UInt8 | None = None
    small: UInt8 | None = None
    reason: str = ""


def look_at(
    records: Sequence[Record],
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> list[Look]:
    """Read every image once; one that cannot be read has its reason."""
    value_range = detect_value_range([record.file for record in records])

    def one(record: Record) -> Look:
        try:
            info = probe(record.file)
            image = read_image(record.file, channels=3, value_range=value_range)
        except (BadImage, OSError) as error:
            reason = error.reason if isinstance(error, BadImage) else str(error)
            return Look(reason=reason)
        return describe(image, info.mode, info.bits)

    looks = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for look in pool.map(one, records):
            looks.append(look)
            if progress:
                progress("measuring images", len(looks), len(records))
    return looks


def describe(image: UInt8, mode: str = "RGB", bits: int = 8) -> Look:
    """Describe one decoded image (H, W, 3), channels in the order R, G, B."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    tiny = fit(np.rint(grey).astype(np.uint8)[:, :, None], (TINY, TINY), mode="squash")
    small = fit(image, (_COLOR_SIDE, _COLOR_SIDE), mode="squash")
    return Look(
        image.shape[1],
        image.shape[0],
        mode,
        bits,
        float(grey.mean()),
        float(grey.std()),
        tiny[:, :, 0],
        small,
    )


def sizes(looks: Sequence[Look]) -> list[tuple[tuple[int, int], int]]:
    """Return ((width, height), count), the most frequent first."""
    read = Counter((k.width, k.height) for k in looks if not k.reason)
    return read.most_common()


def modes(looks: Sequence[Look]) -> dict[str, int]:
    """Return how many images have each mode, such as "L" or "I;16 (16 bit)"."""
    names = (
        k.mode if k.bits == 8 else f"{k.mode} ({k.bits} bit)"
        for k in looks
        if not k.reason
    )
    return dict(Counter(names).most_common())


@dataclass(frozen=True)
class Color:
    """A dominant colour: red, green, blue in 0..255, and its share of the pixels."""

    red: int
    green: int
    blue: int
    share: float

    @property
    def code(self) -> str:
        """Hexadecimal #rrggbb, red first."""
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


def dominant_colors(looks: Sequence[Look]) -> list[Color]:
    """Return up to three dominant colours of images, red first, the largest first.

    Pixels are counted in cells of 32 levels per channel; a colour is the mean of a
    full cell and of its neighbours that are not fuller, so that a tone on a border
    between cells is not counted as two.
    """
    pixels = [k.small.reshape(-1, 3) for k in looks if k.small is not None]
    if not pixels:
        return []
    sums, counts = _by_cell(pixels)
    total = counts.sum()
    found: list[Color] = []
    while len(found) < _COLORS and counts.sum() > 0.02 * total:
        heart = np.unravel_index(counts.argmax(), counts.shape)
        near = tuple(slice(max(0, int(at) - 1), int(at) + 2) for at in heart)
        here = counts[near].sum()
        red, green, blue = (
            round(float(v)) for v in sums[near].sum(axis=(0, 1, 2)) / here
        )
        found.append(Color(red, green, blue, float(here / total)))
        sums[near], counts[near] = 0, 0
    return sorted(found, key=lambda color: -color.share)


def _by_cell(
    pixels: Sequence[npt.NDArray[np.uint8]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return per cell of colours the sum of its pixels' colours, and their number."""
    side = -(-256 // _COLOR_STEP)
    sums, counts = np.zeros((side**3, 3)), np.zeros(side**3, np.int64)
    for few in pixels:
        cells = few.astype(np.int64) // _COLOR_STEP @ [side * side, side, 1]
        counts += np.bincount(cells, minlength=side**3)
        for channel in range(3):
            sums[:, channel] += np.bincount(cells, few[:, channel], side**3)
    return sums.reshape(side, side, side, 3), counts.reshape(side, side, side)


def all_grey(looks: Sequence[Look]) -> bool:
    """Tell whether no image has colour beyond what compression adds."""
    return all(
        int(np.ptp(k.small.astype(np.int16), axis=2).max()) <= _GREY_TOLERANCE
        for k in looks
        if k.small is not None
    )


@dataclass(frozen=True)
class Shift:
    """How one quantity differs between two sets of images.

    Attributes:
        name: the quantity.
        labeled, unlabeled: (10 %, median, 90 %) quantiles.
        distance: Kolmogorov-Smirnov distance, 0 = same distribution, 1 = apart.
        beyond_chance: whether the distance exceeds its 1 % critical value.
    """

    name: str
    labeled: tuple[float, float, float]
    unlabeled: tuple[float, float, float]
    distance: float
    beyond_chance: bool


def shift(name: str, labeled: Sequence[float], unlabeled: Sequence[float]) -> Shift:
    """Compare a quantity between labelled and unlabelled images.

    The critical value is Smirnov's asymptotic one, 1.628 sqrt((n + m) / (n m)).
    """
    one, two = np.sort(np.asarray(labeled)), np.sort(np.asarray(unlabeled))
    every = np.concatenate([one, two])
    below = [np.searchsorted(side, every, "right") / len(side) for side in (one, two)]
    distance = float(np.abs(below[0] - below[1]).max())
    critical = 1.628 * np.sqrt((len(one) + len(two)) / (len(one) * len(two)))
    return Shift(name, _spread(one), _spread(two), distance, bool(distance > critical))


def _spread(values: Float64) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return round(float(low), 2), round(float(middle), 2), round(float(high), 2)
