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
    SolarizeAdd  grey levels added to levels below 128                whole levels
    Gamma        exponent of the grey level in 0..1 (1 = unchanged)   exponent
    LogitBright- level, 0..1, that middle grey is moved to            the same
    ness         (.5 = unchanged), added in the logit domain
    LogitContr.  factor in the logit domain (1 = unchanged)           factor
    Hue          degrees around the colour circle                     degrees, signed
    Saturation   shift of the HSV saturation, fraction of its range   the same, signed
    Value        shift of the HSV value, fraction of its range        the same, signed
    Blur         standard deviation of Pillow's GaussianBlur, pixels  pixels
    Noise        standard deviation of the noise, grey levels         grey levels
    Jpeg         quality of the JPEG encoder                          whole number
    Illumination gain at the far edge: 1 - v .. 1 + v in a direction  the same
    Highlight    strength of a bright spot: 1 = white at its centre   the same
    ResizedCrop  visible share of the area, resized to the full view  the same
    ===========  ===================================================  ===============

The remaining ops (Identity, AutoContrast, Equalize, Invert) have no magnitude.
Ops that act at a place (Cutout, Noise, Illumination, Highlight, ResizedCrop) take
it from two more numbers of the Plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["identity", "table", "filter", "geometry", "erase", "codec"]


@dataclass(frozen=True)
class Op:
    """One image operation.

    Attributes:
        name: as written in policies.
        id: number in plans; never reused.
        kind: "table" maps grey levels, "filter" reads neighbours, the place or
            the other channels, "geometry" moves pixels, "erase" writes the fill,
            "codec" is left to Pillow.
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
    Op(
        "SolarizeAdd", 16, "table", "grey levels added", 0, 128, False,
        "tensorflow/tpu efficientnet autoaugment.solarize_add",
        "Lifts dark regions only: a dark defect on a dark ground is washed out, and "
        "a shading that crosses middle grey becomes an edge.",
    ),
    Op(
        "Gamma", 17, "table", "exponent, 1 = unchanged", 0.1, 10, False,
        "levels**v on 0..1",
        "Far from 1 the darkest or the brightest defects sink into black or white; "
        "polarity and order of grey levels stay.",
    ),
    Op(
        "LogitBrightness", 18, "table", "level 0..1, .5 = unchanged", 0.01, 0.99, False,
        "fastai vision.augment.Brightness",
        "Moves all levels without clipping any; only defects that are a change of "
        "overall brightness change class.",
    ),
    Op(
        "LogitContrast", 19, "table", "factor, 1 = unchanged", 0.05, 10, False,
        "fastai vision.augment.Contrast",
        "Far below 1 faint defects sink into the noise; far above 1 harmless texture "
        "looks like a defect. Nothing clips.",
    ),
    Op(
        "Hue", 20, "filter", "degrees", 0, 180, True, "HSV shift",
        "Turns the hue by which rust, heat tint and stains are told. Does nothing "
        "to grey images.",
    ),
    Op(
        "Saturation", 21, "filter", "fraction", 0, 1, True, "HSV shift",
        "Takes away or exaggerates the colour of stains and rust. Does nothing to "
        "grey images.",
    ),
    Op(
        "Value", 22, "filter", "fraction", 0, 1, True, "HSV shift",
        "Clips bright defects in white or dark ones in black when large; defects "
        "that are a change of overall brightness change class.",
    ),
    Op(
        "Blur", 23, "filter", "standard deviation, pixels", 0, 10, False,
        "Pillow ImageFilter.GaussianBlur",
        "Erases hairline cracks, pores and scratches narrower than about twice the "
        "standard deviation.",
    ),
    Op(
        "Noise", 24, "filter", "standard deviation, grey levels", 0, 64, False,
        "additive noise, sum of four uniform numbers",
        "Buries faint defects and invents specks.",
    ),
    Op(
        "Jpeg", 25, "codec", "quality", 1, 95, False, "Pillow's JPEG encoder",
        "At low quality faint defects vanish, and blocks and ringing look like "
        "texture.",
    ),
    Op(
        "Illumination", 26, "filter", "gain at the edge", 0, 1, False,
        "linear gain across the image, in a random direction",
        "A shading across the part, as lamps give it; strong ones clip at the bright "
        "edge and hide what lies at the dark one.",
    ),
    Op(
        "Highlight", 27, "filter", "strength", 0, 1, False,
        "bright spot at a random place",
        "Covers a defect that lies under the spot, and looks like a stain where "
        "the surface is matt.",
    ),
    Op(
        "ResizedCrop", 28, "geometry", "visible share of the area", 0.05, 1, False,
        "crop at a random place, bilinear to the full size",
        "Cuts away what lies outside: a small visible share loses the defect and "
        "keeps its label. Enlarges what remains.",
    ),
)  # fmt: skip

OPS: dict[str, Op] = {op.name: op for op in _TABLE}
NAMES: tuple[str, ...] = tuple(op.name for op in _TABLE)  # by id
NOT_APPLIED = -1
