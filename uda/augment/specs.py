"""The values of a native policy: which ops, how often, how strong, in which order.

Frozen and checked when made; where they come from is the business of ``policy``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from uda.augment.ops import OPS
from uda.errors import DataError

# Part of every fingerprint: raised when the same policy would give other pixels.
_SEMANTICS = 1


@dataclass(frozen=True)
class OpSpec:
    """One op of a policy's list with the range its magnitude is drawn from.

    Attributes:
        name: a key of ``OPS``.
        low: magnitude of the first level, in the op's unit; None if it has none.
        high: magnitude of the last level; may be smaller than ``low``.
        levels: number of equally spaced magnitudes from low to high, both
            included; None draws from the continuous range.
    """

    name: str
    low: float | None = None
    high: float | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        op = OPS.get(self.name)
        if op is None:
            raise DataError(
                f"unknown op {self.name!r}{did_you_mean(self.name, OPS)}; the ops "
                f"are {', '.join(OPS)}"
            )
        if not op.has_magnitude:
            if (self.low, self.high, self.levels) != (None, None, None):
                raise DataError(
                    f"{self.name} has no magnitude: take away low, high and levels"
                )
            return
        if self.low is None or self.high is None:
            raise DataError(f"{self.name} needs low and high, in {op.unit}")
        for value in (self.low, self.high):
            if not op.low <= value <= op.high:
                raise DataError(
                    f"{self.name}: {value} is outside {op.low:g}..{op.high:g} "
                    f"({op.unit})"
                )
        if self.levels is not None and self.levels < 1:
            raise DataError(f"{self.name}: levels must be at least 1")


@dataclass(frozen=True)
class Policy:
    """A native policy: RandAugment-like ops, weak geometry, cutout.

    Attributes:
        name: for messages and reports; not part of the fingerprint.
        ops: the list that ops are drawn from, uniformly and with replacement.
        count: ops drawn for each image.
        probability: that a drawn op is applied.
        fill: what geometric ops and cutout write. "mean" is the data set's mean;
            it is the mean when it is written, and a later op treats it like any
            other pixel (google-research/uda restores it to the mean unless one
            of five ops follows, by an alpha channel).
        hflip: probability of a left-right flip.
        vflip: probability of an up-down flip.
        crop_pad: reflect-padding as a fraction of each side, followed by a crop
            back to size at a uniform position.
        quarter_turns: turn by 0, 90, 180 or 270 degrees, uniformly; by 0 or 180
            where the image is not square.
        cutout: side of a square that is always erased, as a fraction of the
            shorter side; its centre is uniform and it is clipped at the borders.
            0 = off.
        order: "geometry-first" = turns, flips, crop, ops, cutout;
            "geometry-last" = ops, cutout, turns, flips, crop (as in UDA).
        source: where the numbers come from.
        path: the file it was read from.
    """

    name: str
    ops: tuple[OpSpec, ...] = ()
    count: int = 0
    probability: float = 1.0
    fill: Literal["mean", "black", "gray"] = "mean"
    hflip: float = 0.0
    vflip: float = 0.0
    crop_pad: float = 0.0
    quarter_turns: bool = False
    cutout: float = 0.0
    order: Literal["geometry-first", "geometry-last"] = "geometry-first"
    source: str = ""
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for key, high in _FRACTIONS.items():
            value = getattr(self, key)
            if not (math.isfinite(value) and 0 <= value <= high):
                raise DataError(f"{key} is {value}; it must lie in 0..{high:g}")
        for key, choices in _CHOICES.items():
            if getattr(self, key) not in choices:
                raise DataError(
                    f"{key} is {getattr(self, key)!r}; choose {' or '.join(choices)}"
                )
        if not 0 <= self.count <= 16:
            raise DataError(f"count is {self.count}; it must lie in 0..16")
        if self.count and not self.ops:
            raise DataError(f"count is {self.count}, but there are no ops to draw")

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that decides the pixels, not of the names."""
        content = dataclasses.asdict(self)
        for key in ("name", "source", "path"):
            del content[key]
        content["semantics"] = _SEMANTICS
        text = json.dumps(_canonical(content), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


_FRACTIONS = {
    "probability": 1, "hflip": 1, "vflip": 1, "crop_pad": 0.5, "cutout": 1,
}  # fmt: skip
_CHOICES = {
    "fill": ("mean", "black", "gray"),
    "order": ("geometry-first", "geometry-last"),
}


def _canonical(value: object) -> object:
    """Write whole numbers as floats, so that 1 and 1.0 are the same policy."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest choice, or nothing."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
