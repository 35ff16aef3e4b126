"""The values of a native policy: which ops, how often, how strong, in which order.

Frozen and checked when made; where they come from is the business of ``policy``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from uda.augment.ops import OPS, Op
from uda.errors import DataError
from uda.words import did_you_mean

# Part of every fingerprint: raised when the same policy would give other pixels.
_SEMANTICS = 1
# Ops that one image may pass, and magnitudes that one op may have.
MAX_SLOTS = 16
MAX_LEVELS = 1000


@dataclass(frozen=True)
class OpSpec:
    """One op of a policy's list with the range its magnitude is drawn from.

    Attributes:
        name: a key of ``OPS``.
        low: magnitude of the first level, in the op's unit; None if it has none.
        high: magnitude of the last level; may be smaller than ``low``.
        levels: number of equally spaced magnitudes from low to high, both
            included; None draws from the continuous range.
        probability: that the op is applied once it was drawn. None: the policy's
            ``probability`` among ``ops``, always in the other lists.
        mirrored: the drawn factor m becomes m or 2 - m with equal chance: as
            much more as less. Only for ops whose magnitude is a factor.
    """

    name: str
    low: float | None = None
    high: float | None = None
    levels: int | None = None
    probability: float | None = None
    mirrored: bool = False

    def __post_init__(self) -> None:
        op = OPS.get(self.name)
        if op is None:
            raise DataError(
                f"unknown op {brief(self.name)}{did_you_mean(self.name, OPS)}; the ops "
                f"are {', '.join(OPS)}"
            )
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise DataError(
                f"{self.name}: probability is {self.probability}; it must lie in 0..1"
            )
        if self.mirrored and not op.unit.startswith("factor"):
            factors = [o.name for o in OPS.values() if o.unit.startswith("factor")]
            raise DataError(
                f"{self.name}: mirrored is for factors only ({', '.join(factors)})"
            )
        if not op.has_magnitude:
            if (self.low, self.high, self.levels) != (None, None, None):
                raise DataError(
                    f"{self.name} has no magnitude: take away low, high and levels"
                )
            return
        self._check_range(op)

    def _check_range(self, op: Op) -> None:
        if self.low is None or self.high is None:
            raise DataError(f"{self.name} needs low and high, in {op.unit}")
        for value in (self.low, self.high):
            if not op.low <= value <= op.high:
                sign = f"; a coin gives the sign: write {-value:g}" * (
                    op.signed and value < 0
                )
                raise DataError(
                    f"{self.name}: {value} is outside {op.low:g}..{op.high:g} "
                    f"({op.unit}){sign}"
                )
            if self.mirrored and not op.low <= 2 - value <= op.high:
                raise DataError(
                    f"{self.name}: {value} mirrored is {2 - value:g}, outside "
                    f"{op.low:g}..{op.high:g} ({op.unit})"
                )
        if self.levels is not None and self.levels < 1:
            raise DataError(f"{self.name}: levels must be at least 1")
        if self.levels is not None and self.levels > MAX_LEVELS:
            raise DataError(
                f"{self.name}: levels must be at most {MAX_LEVELS}; leave it out to "
                "draw any magnitude between low and high"
            )


@dataclass(frozen=True)
class Policy:
    """A native policy: RandAugment-like ops, weak geometry, cutout.

    Attributes:
        name: for messages and reports; not part of the fingerprint.
        ops: the list that ops are drawn from, uniformly and with replacement.
        count: ops drawn for each image.
        probability: that an op drawn from ``ops`` is applied.
        subpolicies: sequences of ops, of which one is drawn, uniformly, and then
            applied in its order (AutoAugment); instead of ``ops`` and ``count``.
        first: ops that every image passes before the drawn ones, in order.
        last: ops that every image passes after them; ``cutout`` comes later.
        fill: what geometric ops and cutout write. "mean" is the data set's mean;
            it is the mean when it is written, and a later op treats it like any
            other pixel (google-research/uda restores it to the mean unless one
            of five ops follows, by an alpha channel). "reflect" mirrors the image
            at its borders instead; erasing ops then write the mean.
        interpolation: of ShearX, ShearY and Rotate.
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
    fill: Literal["mean", "black", "gray", "reflect"] = "mean"
    hflip: float = 0.0
    vflip: float = 0.0
    crop_pad: float = 0.0
    quarter_turns: bool = False
    cutout: float = 0.0
    order: Literal["geometry-first", "geometry-last"] = "geometry-first"
    source: str = ""
    path: Path | None = field(default=None, compare=False)
    subpolicies: tuple[tuple[OpSpec, ...], ...] = ()
    first: tuple[OpSpec, ...] = ()
    last: tuple[OpSpec, ...] = ()
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    @property
    def drawn_slots(self) -> int:
        """Number of ops drawn for each image: ``count``, or of the longest list."""
        return max(map(len, self.subpolicies), default=self.count)

    @property
    def slots(self) -> int:
        """Number of op slots that a plan of this policy has."""
        return len(self.first) + self.drawn_slots + len(self.last)

    def every_op(self) -> tuple[OpSpec, ...]:
        """Return the ops of all lists, in the order first, ops, subpolicies, last."""
        nested = (spec for sequence in self.subpolicies for spec in sequence)
        return (*self.first, *self.ops, *nested, *self.last)

    def __post_init__(self) -> None:
        for key, high in _FRACTIONS.items():
            value = getattr(self, key)
            if not (math.isfinite(value) and 0 <= value <= high):
                raise DataError(f"{key} is {value}; it must lie in 0..{high:g}")
        for key, choices in _CHOICES.items():
            value = getattr(self, key)
            if value not in choices:
                raise DataError(
                    f"{key} is {brief(value)}; choose {' or '.join(choices)}"
                )
        if not 0 <= self.count <= 16:
            raise DataError(f"count is {self.count}; it must lie in 0..16")
        self._check_lists()

    def _check_lists(self) -> None:
        if self.subpolicies and (self.ops or self.count):
            raise DataError(
                "subpolicies draws whole sequences of ops: take away ops and count, or "
                "subpolicies"
            )
        if self.count and not self.ops:
            raise DataError(f"count is {self.count}, but there are no ops to draw")
        for number, sequence in enumerate(self.subpolicies, start=1):
            if not sequence:
                raise DataError(
                    f"subpolicies has an empty list (number {number}); write "
                    "[{op: Identity}] for a view left as it is"
                )
        if self.slots > MAX_SLOTS:
            raise DataError(
                f"an image would pass {self.slots} ops (first, the drawn ones and "
                f"last together); at most {MAX_SLOTS} are allowed"
            )

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that decides the pixels, not of the names."""
        content = dataclasses.asdict(self)
        for key in ("name", "source", "path"):
            del content[key]
        content["semantics"] = _SEMANTICS
        text = json.dumps(_canonical(content), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


# Keys that a fingerprint leaves out where they say nothing: they came later, and
# policies without them keep the fingerprint they had.
_SILENT: dict[str, object] = {
    "probability": None, "mirrored": False, "subpolicies": (), "first": (),
    "last": (), "interpolation": "nearest",
}  # fmt: skip
_FRACTIONS = {
    "probability": 1, "hflip": 1, "vflip": 1, "crop_pad": 0.5, "cutout": 1,
}  # fmt: skip
_CHOICES = {
    "fill": ("mean", "black", "gray", "reflect"),
    "order": ("geometry-first", "geometry-last"),
    "interpolation": ("nearest", "bilinear"),
}


def _canonical(value: object) -> object:
    """Write whole numbers as floats, so that 1 and 1.0 are the same policy."""
    if isinstance(value, dict):
        return {
            key: _canonical(item)
            for key, item in value.items()
            if key not in _SILENT or item != _SILENT[key]
        }
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def brief(value: object) -> str:
    """Return a value as Python writes it, cut short where nobody would read it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
