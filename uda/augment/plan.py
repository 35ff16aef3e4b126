"""Draw, then apply: a Plan holds all random parameters of a batch as arrays.

Row i of a plan depends on (policy, seed, stream, counters[i], shape) alone, so
neither the batch split nor the executor can change a view.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.augment.drawing import NUDGE, NUM_PER_SLOT, PLACE_X, PLACE_Y, draw_ops
from uda.augment.ops import OPS
from uda.augment.plancheck import check_content
from uda.augment.policy import Policy
from uda.errors import DataError
from uda.files import atomic_path

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

# Beyond this side Pillow leaves its 16.16 fixed-point path.
MAX_SIDE = 8192
# Where each kind of draw lies in an image's row of uniform numbers.
_HFLIP, _VFLIP, _TURN, _DY, _DX, _CUT_Y, _CUT_X, _NUM_WEAK = range(8)
_CUTOUT = OPS["Cutout"].id


@dataclass(frozen=True)
class Plan:
    """Parameters of N views; ``plan[i:j]`` is the plan of those rows.

    Attributes:
        op: (N, slots) int8 op ids, in the order they are applied; -1 = none.
        value: (N, slots) float64 magnitudes, signed, in the units of the op
            table's last column (whole pixels, bits and grey levels).
        box: (N, slots, 4) int32 y0, x0, y1, x1 of the op Cutout, half open.
        place: (N, slots, 2) float64 in [0, 1), down and across: where (or in
            which direction, or with which noise) an op acts that needs a place.
        hflip: (N,) uint8, 1 = flipped left-right.
        vflip: (N,) uint8, 1 = flipped up-down.
        turns: (N,) int8 quarter turns, counter-clockwise.
        dy: (N,) int32 rows by which the crop is moved down in the padded image.
        dx: (N,) int32 columns, likewise to the right.
        cut: (N, 4) int32 the final cutout's box, half open; empty = none.
        geometry_last: whether turns, flips and crop follow the ops.
        bilinear: whether ShearX, ShearY and Rotate interpolate.
        reflect: whether moving ops read the image reflected at its borders
            instead of writing the fill.
        shape: (H, W) the plan was drawn for.
    """

    op: npt.NDArray[np.int8]
    value: Float64
    box: Int32
    place: Float64
    hflip: npt.NDArray[np.uint8]
    vflip: npt.NDArray[np.uint8]
    turns: npt.NDArray[np.int8]
    dy: Int32
    dx: Int32
    cut: Int32
    geometry_last: bool
    bilinear: bool
    reflect: bool
    shape: tuple[int, int]

    @property
    def slots(self) -> int:
        """Number of ops that one image can pass."""
        return int(self.op.shape[1])

    def __len__(self) -> int:
        return len(self.hflip)

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Plan:
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, **arrays)

    def save(self, path: Path) -> None:
        """Write the plan as an uncompressed .npz file, atomically."""
        content = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **content)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan.

        Raises:
            DataError: the file is no plan, or one that does not fit the images it
                names, which the executors would not notice; the message says so.
        """
        try:
            with path.open("rb") as stream, np.load(stream) as file:
                content = {name: file[name] for name in (*_ARRAYS, *_FLAGS, "shape")}
            check_content(content)
            height, width = (int(side) for side in content["shape"])
            _check_sides(height, width)
        except _NO_PLAN as error:
            raise DataError(f"{path}: is not a saved plan ({error})") from error
        arrays = {name: content[name] for name in _ARRAYS}
        flags: dict[str, Any] = {name: bool(content[name]) for name in _FLAGS}
        return cls(**arrays, **flags, shape=(height, width))


_ARRAYS = (
    "op", "value", "box", "place", "hflip", "vflip", "turns", "dy", "dx", "cut",
)  # fmt: skip
_FLAGS = ("geometry_last", "bilinear", "reflect")
# What reading other or broken files raises; TypeError is that of a lone .npy array.
_NO_PLAN = (
    OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error,
    DataError,
)  # fmt: skip


def draw(
    policy: Policy,
    *,
    seed: int,
    stream: str,
    counters: npt.ArrayLike,
    shape: tuple[int, int],
) -> Plan:
    """Draw the parameters of N views.

    Args:
        policy: a native policy.
        seed: the run's seed.
        stream: name of the view, for example "strong".
        counters: (N,) non-negative integers, one per view.
        shape: (H, W) of the images, pixels.

    Returns:
        The plan; row i does not depend on the other counters.

    Raises:
        DataError: a side is 0 or too long for exact sampling.
    """
    height, width = shape
    _check_sides(height, width)
    u = rng.uniforms(seed, stream, counters, _NUM_WEAK + policy.slots * NUM_PER_SLOT)
    per_op = u[:, _NUM_WEAK:].reshape(len(u), policy.slots, NUM_PER_SLOT)
    op, value = draw_ops(policy, per_op, shape)
    erase = np.where(op == _CUTOUT, value, 0)
    cut_side = np.full(len(u), _pixels(policy.cutout, min(shape)))
    return Plan(
        op=op,
        value=value,
        box=_boxes(per_op[..., PLACE_Y], per_op[..., PLACE_X], erase, shape),
        place=np.ascontiguousarray(per_op[..., PLACE_Y : PLACE_X + 1]),
        hflip=(u[:, _HFLIP] < policy.hflip).astype(np.uint8),
        vflip=(u[:, _VFLIP] < policy.vflip).astype(np.uint8),
        turns=_draw_turns(policy, u[:, _TURN], shape),
        dy=_draw_shift(u[:, _DY], policy.crop_pad, height),
        dx=_draw_shift(u[:, _DX], policy.crop_pad, width),
        cut=_boxes(u[:, _CUT_Y], u[:, _CUT_X], cut_side, shape),
        geometry_last=policy.order == "geometry-last",
        bilinear=policy.interpolation == "bilinear",
        reflect=policy.fill == "reflect",
        shape=(height, width),
    )


def _check_sides(height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"images of {height}x{width} px: sides must be 1..{MAX_SIDE}")


def _pixels(fraction: float, side: int) -> int:
    return int(fraction * side + NUDGE)


def _draw_turns(
    policy: Policy, u: Float64, shape: tuple[int, int]
) -> npt.NDArray[np.int8]:
    if not policy.quarter_turns:
        return np.zeros(len(u), dtype=np.int8)
    square = shape[0] == shape[1]
    turns = np.floor(u * 4) if square else np.floor(u * 2) * 2
    return turns.astype(np.int8)


def _draw_shift(u: Float64, crop_pad: float, side: int) -> Int32:
    """Uniform whole shift in -pad..pad; reflection needs pad <= side - 1."""
    pad = min(_pixels(crop_pad, side), side - 1)
    return (np.floor(u * (2 * pad + 1)) - pad).astype(np.int32)


def _boxes(
    u_y: Float64, u_x: Float64, side: npt.NDArray[Any], shape: tuple[int, int]
) -> Int32:
    """Boxes (..., 4) of ``2 * (side // 2)`` px, clipped; all 0 when side < 2."""
    height, width = shape
    half = side.astype(np.int64) // 2
    boxes = np.zeros((*half.shape, 4), dtype=np.int32)
    if not half.any():
        return boxes
    y, x = np.floor(u_y * height), np.floor(u_x * width)
    boxes[..., 0] = np.maximum(y - half, 0)
    boxes[..., 1] = np.maximum(x - half, 0)
    boxes[..., 2] = np.minimum(y + half, height)
    boxes[..., 3] = np.minimum(x + half, width)
    boxes[half == 0] = 0
    return boxes
