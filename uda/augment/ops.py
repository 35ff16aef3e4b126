"""The op table: every native image operation, its unit, its limits, its risk.

An op's id is stored in plans and never changes; new ops get new ids. Magnitudes
have these units, in policies as in this table:

    ===========  ===================================================  ===============
    op           magnitude                                            in a Plan
    ===========  ===================================================  ===============
    Posterize    bits kept per channel                                whole bits
    Solarize     grey level from which on pixels are inverted         whole level
    Brightness   factor of Pillow's ImageEnhance (1 = unchanged)      factor
    Contrast     the same; 0 = flat grey of the image's mean          factor
    Color        the same; 0 = grey; does nothing to grey images      factor
    Sharpness    the same; 0 = smoothed by Pillow's SMOOTH            factor
    ShearX/Y     pixels of shift per pixel, from the top left         the same, signed
    TranslateX/Y fraction of the width / height                       pixels, signed
    Rotate       degrees about the centre                             degrees, signed
    Cutout       fraction of the shorter side                         pixels; a box
    ===========  ===================================================  ===============

The remaining ops (Identity, AutoContrast, Equalize, Invert) have no magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["identity", "table", "filter", "geometry", "erase"]


@dataclass(frozen=True)
class Op:
    """One image operation.

    Attributes:
        name: as written in policies.
        id: number in plans; never reused.
        kind: "table" maps grey levels, "filter" reads neighbours or the other
            channels, "geometry" moves pixels (nearest), "erase" writes the fill.
        unit: of the magnitude, in words; empty when the op has none.
        low: smallest magnitude that makes sense.
        high: largest magnitude that makes sense.
        signed: whether a fair coin gives the magnitude its sign.
        source: which function it reproduces.
        risk: which defects it could erase or invent.
    """

    name: str
    id: int
    kind: Kind
    unit: str
    low: float
    high: float
    signed: bool
    source: str
    risk: str

    @property
    def has_magnitude(self) -> bool:
        """Whether the op takes a magnitude at all."""
        return bool(self.unit)


_FACTOR = "factor, 1 = unchanged"
_LOST_AT_EDGE = (
    "Pushes what lies at the edge out of the frame and puts a flat area of the "
    "mean in its place"
)

_TABLE = (
    Op("Identity", 0, "identity", "", 0, 0, False, "the image itself", "None."),
    Op(
        "AutoContrast", 1, "table", "", 0, 0, False, "Pillow ImageOps.autocontrast",
        "Stretches a faint texture over the whole grey range, so a good part can "
        "look defective; hides defects that are a change of overall brightness.",
    ),
    Op(
        "Equalize", 2, "table", "", 0, 0, False, "Pillow ImageOps.equalize",
        "Amplifies noise and texture of a clean surface into marks; flattens the "
        "grey-level differences by which stains and rust are told.",
    ),
    Op(
        "Invert", 3, "table", "", 0, 0, False, "Pillow ImageOps.invert",
        "Turns bright spots into dark ones: classes told apart by polarity "
        "(pit or inclusion, burr or hole) swap.",
    ),
    Op(
        "Posterize", 4, "table", "bits kept", 1, 8, False,
        "Pillow ImageOps.posterize",
        "Low-contrast defects fall inside one step and vanish; smooth shading "
        "turns into edges that look like scratches.",
    ),
    Op(
        "Solarize", 5, "table", "grey level", 0, 256, False,
        "Pillow ImageOps.solarize",
        "Inverts bright regions only: highlights become dark spots, and a shading "
        "that crosses the threshold becomes an edge.",
    ),
    Op(
        "Brightness", 6, "table", _FACTOR, 0, 4, False,
        "Pillow ImageEnhance.Brightness",
        "Far from 1 it clips: bright defects vanish in white, dark ones in black; "
        "defects that are a change of overall brightness change class.",
    ),
    Op(
        "Contrast", 7, "table", _FACTOR, 0, 4, False, "Pillow ImageEnhance.Contrast",
        "Far below 1 faint defects sink into the noise; far above 1 harmless "
        "texture looks like a defect and bright or dark areas clip.",
    ),
    Op(
        "Color", 8, "filter", _FACTOR, 0, 4, False, "Pillow ImageEnhance.Color",
        "Takes away or exaggerates the hue by which rust, heat tint and stains are "
        "told. Does nothing to grey images.",
    ),
    Op(
        "Sharpness", 9, "filter", _FACTOR, 0, 4, False,
        "Pillow ImageEnhance.Sharpness",
        "Below 1 hairline cracks of one pixel fade; far above 1 noise turns into "
        "specks.",
    ),
    Op(
        "ShearX", 10, "geometry", "pixels per pixel", 0, 1, True,
        "Pillow Image.transform(AFFINE, (1, v, 0, 0, 1, 0))",
        f"{_LOST_AT_EDGE}; slants marks whose direction is their class.",
    ),
    Op(
        "ShearY", 11, "geometry", "pixels per pixel", 0, 1, True,
        "Pillow Image.transform(AFFINE, (1, 0, 0, v, 1, 0))",
        f"{_LOST_AT_EDGE}; slants marks whose direction is their class.",
    ),
    Op(
        "TranslateX", 12, "geometry", "fraction of the width", 0, 1, True,
        "Pillow Image.transform(AFFINE, (1, 0, v, 0, 1, 0))",
        f"{_LOST_AT_EDGE}: an edge chip is lost and the border of the flat area "
        "looks like a new edge.",
    ),
    Op(
        "TranslateY", 13, "geometry", "fraction of the height", 0, 1, True,
        "Pillow Image.transform(AFFINE, (1, 0, 0, 0, 1, v))",
        f"{_LOST_AT_EDGE}: an edge chip is lost and the border of the flat area "
        "looks like a new edge.",
    ),
    Op(
        "Rotate", 14, "geometry", "degrees", 0, 180, True, "Pillow Image.rotate",
        f"{_LOST_AT_EDGE} in the corners; turns marks whose direction is their "
        "class (rolling marks, grinding marks).",
    ),
    Op(
        "Cutout", 15, "erase", "fraction of the shorter side", 0, 1, False,
        "google-research/uda image/randaugment",
        "Covers the only defect of an image and leaves its label, or looks like a "
        "patch or a missing piece itself.",
    ),
)  # fmt: skip

OPS: dict[str, Op] = {op.name: op for op in _TABLE}
NAMES: tuple[str, ...] = tuple(op.name for op in _TABLE)  # by id
NOT_APPLIED = -1
