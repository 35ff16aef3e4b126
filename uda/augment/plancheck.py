"""Whether arrays read from a file are a plan that the executors can execute.

The executors trust a plan: compiled code writes outside of the image where a box or
a shift does. A drawn plan always fits; one from a file is looked at here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.drawing import limits
from uda.augment.ops import NAMES, NOT_APPLIED, OPS

Array = npt.NDArray[Any]

# Rounding may leave a drawn magnitude this far beyond its limits, relatively.
_SLACK = 1e-9
# Type and dimensions: N views, S slots, or a number.
_LAYOUT: dict[str, tuple[type[np.generic], str]] = {
    "op": (np.int8, "NS"), "value": (np.float64, "NS"), "box": (np.int32, "NS4"),
    "place": (np.float64, "NS2"), "hflip": (np.uint8, "N"), "vflip": (np.uint8, "N"),
    "turns": (np.int8, "N"), "dy": (np.int32, "N"), "dx": (np.int32, "N"),
    "cut": (np.int32, "N4"), "geometry_last": (np.bool_, ""),
    "bilinear": (np.bool_, ""), "reflect": (np.bool_, ""),
}  # fmt: skip


def check_content(content: Mapping[str, Array]) -> None:
    """Check the fields of a plan against each other and against its image.

    Args:
        content: the fields of ``plan.Plan`` by name, ``shape`` among them.

    Raises:
        ValueError: a type, a shape or a value that no drawn plan has; the message
            names the field.
    """
    shape = content["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise ValueError("shape is not two whole numbers")
    height, width = (int(side) for side in shape)
    _check_layout(content)
    _check_weak(content, height, width)
    for name in ("box", "cut"):
        _check_boxes(name, content[name], height, width)
    place = content["place"]
    _require(((place >= 0) & (place < 1)).all(), "a place lies outside 0..1")
    _check_ops(content["op"], content["value"], (height, width))


def _require(holds: object, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _check_layout(content: Mapping[str, Array]) -> None:
    op = content["op"]
    _require(op.ndim == 2, f"op has {op.ndim} dimensions, not 2")
    sizes = {"N": op.shape[0], "S": op.shape[1]}
    for name, (kind, letters) in _LAYOUT.items():
        wanted = tuple(sizes[s] if s in sizes else int(s) for s in letters)
        array = content[name]
        _require(
            array.dtype == kind and array.shape == wanted,
            f"{name} is {array.dtype} of shape {array.shape}, not "
            f"{np.dtype(kind)} of shape {wanted}",
        )


def _check_weak(content: Mapping[str, Array], height: int, width: int) -> None:
    """Flips are 0 or 1, turns keep the shape, shifts are less than the side."""
    for name in ("hflip", "vflip"):
        _require((content[name] <= 1).all(), f"{name} is neither 0 nor 1")
    turns = [0, 1, 2, 3] if height == width else [0, 2]
    _require(
        np.isin(content["turns"], turns).all(),
        f"turns is none of {turns}, for images of {height}x{width} px",
    )
    for name, side in (("dy", height), ("dx", width)):
        shift = content[name]
        _require(
            ((shift > -side) & (shift < side)).all(),
            f"{name} reaches {side} px, the image's side",
        )


def _check_boxes(name: str, boxes: Array, height: int, width: int) -> None:
    y0, x0, y1, x1 = np.moveaxis(boxes, -1, 0)
    inside = (y0 >= 0) & (y0 <= y1) & (y1 <= height)
    inside &= (x0 >= 0) & (x0 <= x1) & (x1 <= width)
    _require(
        inside.all(), f"a box of {name} does not lie inside of {height}x{width} px"
    )


def _check_ops(op: Array, value: Array, shape: tuple[int, int]) -> None:
    _require(
        ((op >= NOT_APPLIED) & (op < len(NAMES))).all(),
        "an op has a number that this version does not know",
    )
    _require(np.isfinite(value).all(), "a value is not finite")
    for code in np.unique(op[op > NOT_APPLIED]).tolist():
        spec, found = OPS[NAMES[code]], value[op == code]
        low, high, whole = limits(spec.name, shape)
        size = np.abs(found) if spec.signed else found
        slack = _SLACK * max(1.0, high)
        _require(
            ((size >= low - slack) & (size <= high + slack)).all(),
            f"a value of {spec.name} lies outside {low:g}..{high:g}",
        )
        _require(
            not whole or (found == np.rint(found)).all(),
            f"a value of {spec.name} is not whole",
        )
