"""Draw, then apply: a Plan holds all random parameters of a batch as arrays.

Row i of a plan depends on (policy, seed, stream, counters[i], shape) alone, so
neither the batch split nor the executor can change a view.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.augment.ops import NOT_APPLIED, OPS, Op
from uda.augment.policy import OpSpec, Policy
from uda.errors import DataError
from uda.files import atomic_path

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

# Beyond this side Pillow leaves its 16.16 fixed-point path.
MAX_SIDE = 8192
# Where each kind of draw lies in an image's row of uniform numbers.
_HFLIP, _VFLIP, _TURN, _DY, _DX, _CUT_Y, _CUT_X, _NUM_WEAK = range(8)
_OP, _APPLY, _LEVEL, _SIGN, _OP_Y, _OP_X, _NUM_PER_OP = range(7)
_CUTOUT = OPS["Cutout"].id
_WHOLE = (OPS["Posterize"].id, OPS["Solarize"].id)
# A length meant to be whole must not lose a pixel to rounding (0.28125 * 32).
_NUDGE = 1e-6


@dataclass(frozen=True)
class Plan:
    """Parameters of N views; ``plan[i:j]`` is the plan of those rows.

    Attributes:
        op: (N, count) int8 op ids; -1 = not applied.
        value: (N, count) float64 magnitudes, signed, in the units of the op
            table's last column (whole pixels, bits and grey levels).
        box: (N, count, 4) int32 y0, x0, y1, x1 of the op Cutout, half open.
        hflip: (N,) uint8, 1 = flipped left-right.
        vflip: (N,) uint8, 1 = flipped up-down.
        turns: (N,) int8 quarter turns, counter-clockwise.
        dy: (N,) int32 rows by which the crop is moved down in the padded image.
        dx: (N,) int32 columns, likewise to the right.
        cut: (N, 4) int32 the final cutout's box, half open; empty = none.
        geometry_last: whether turns, flips and crop follow the ops.
        shape: (H, W) the plan was drawn for.
    """

    op: npt.NDArray[np.int8]
    value: Float64
    box: Int32
    hflip: npt.NDArray[np.uint8]
    vflip: npt.NDArray[np.uint8]
    turns: npt.NDArray[np.int8]
    dy: Int32
    dx: Int32
    cut: Int32
    geometry_last: bool
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.hflip)

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> Plan:
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return Plan(**arrays, geometry_last=self.geometry_last, shape=self.shape)

    def save(self, path: Path) -> None:
        """Write the plan as an uncompressed .npz file, atomically."""
        content = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **content)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan; a file that is none is a DataError that names it."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
                height, width = (int(side) for side in file["shape"])
                last = bool(file["geometry_last"])
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{path}: is not a saved plan ({error})") from error
        return cls(**arrays, geometry_last=last, shape=(height, width))


_ARRAYS = ("op", "value", "box", "hflip", "vflip", "turns", "dy", "dx", "cut")


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
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"images of {height}x{width} px: sides must be 1..{MAX_SIDE}")
    numbers = _NUM_WEAK + policy.count * _NUM_PER_OP
    u = rng.uniforms(seed, stream, counters, numbers)
    per_op = u[:, _NUM_WEAK:].reshape(len(u), policy.count, _NUM_PER_OP)
    op, value = _draw_ops(policy, per_op, shape)
    erase = np.where(op == _CUTOUT, value, 0)
    cut_side = np.full(len(u), _pixels(policy.cutout, min(shape)))
    return Plan(
        op=op,
        value=value,
        box=_boxes(per_op[..., _OP_Y], per_op[..., _OP_X], erase, shape),
        hflip=(u[:, _HFLIP] < policy.hflip).astype(np.uint8),
        vflip=(u[:, _VFLIP] < policy.vflip).astype(np.uint8),
        turns=_draw_turns(policy, u[:, _TURN], shape),
        dy=_draw_shift(u[:, _DY], policy.crop_pad, height),
        dx=_draw_shift(u[:, _DX], policy.crop_pad, width),
        cut=_boxes(u[:, _CUT_Y], u[:, _CUT_X], cut_side, shape),
        geometry_last=policy.order == "geometry-last",
        shape=(height, width),
    )


def _draw_ops(
    policy: Policy, u: Float64, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int8], Float64]:
    """Draw (N, count) ops and magnitudes from (N, count, 6) uniform numbers."""
    op = np.full(u.shape[:2], NOT_APPLIED, dtype=np.int8)
    value = np.zeros(u.shape[:2])
    chosen = (u[..., _OP] * len(policy.ops)).astype(np.int64)
    applied = u[..., _APPLY] < policy.probability
    sign = np.where(u[..., _SIGN] < 0.5, -1.0, 1.0)
    for number, spec in enumerate(policy.ops):
        rows = applied & (chosen == number)
        entry = OPS[spec.name]
        op[rows] = entry.id
        if entry.has_magnitude:
            drawn = _magnitudes(spec, u[..., _LEVEL][rows], shape)
            value[rows] = drawn * sign[rows] if entry.signed else drawn
    return op, value


def _magnitudes(spec: OpSpec, u: Float64, shape: tuple[int, int]) -> Float64:
    if spec.levels is None:
        assert spec.low is not None
        assert spec.high is not None
        return _in_plan_units(
            OPS[spec.name], spec.low + u * (spec.high - spec.low), shape
        )
    return level_values(spec, shape)[(u * spec.levels).astype(np.int64)]


@lru_cache(maxsize=1024)
def level_values(spec: OpSpec, shape: tuple[int, int]) -> Float64:
    """Return the (levels,) magnitudes of a spec, unsigned, in plan units.

    Levels are equally spaced; bits and grey levels are then rounded half to
    even, which gives the published tables 4 - int(.4 l) and 256 - int(25.6 l)
    of google-research/uda from (4..1) and (231..26).
    """
    assert spec.low is not None
    assert spec.high is not None
    spaced = np.linspace(spec.low, spec.high, spec.levels or 1)
    values = _in_plan_units(OPS[spec.name], spaced, shape)
    values.setflags(write=False)
    return values


def _in_plan_units(op: Op, magnitudes: Float64, shape: tuple[int, int]) -> Float64:
    height, width = shape
    side = {"TranslateX": width, "TranslateY": height, "Cutout": min(shape)}.get(
        op.name
    )
    if side is not None:
        return np.floor(magnitudes * side + _NUDGE)
    return np.rint(magnitudes) if op.id in _WHOLE else magnitudes


def _pixels(fraction: float, side: int) -> int:
    return int(fraction * side + _NUDGE)


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
    y, x = np.floor(u_y * height), np.floor(u_x * width)
    edges = (
        np.clip(y - half, 0, height), np.clip(x - half, 0, width),
        np.clip(y + half, 0, height), np.clip(x + half, 0, width),
    )  # fmt: skip
    boxes = np.stack(edges, axis=-1).astype(np.int32)
    boxes[half == 0] = 0
    return boxes
