"""Which op, how strong: the draws of a policy's ops from uniform numbers.

A policy's ops become the rows of one table; drawing is choosing rows of it, so its
cost does not grow with the number of ops in the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.ops import NOT_APPLIED, OPS, Op
from uda.augment.specs import OpSpec, Policy

Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Where each kind of draw lies in the numbers of one op slot.
CHOICE, APPLY, LEVEL, SIGN, PLACE_Y, PLACE_X, NUM_PER_SLOT = range(7)
# A length meant to be whole must not lose a pixel to rounding (0.28125 * 32).
NUDGE = 1e-6
# How a magnitude comes into a plan's units.
_SAME, _PIXELS, _WHOLE = range(3)
_UNITS = {
    "TranslateX": _PIXELS, "TranslateY": _PIXELS, "Cutout": _PIXELS,
    "Posterize": _WHOLE, "Solarize": _WHOLE, "SolarizeAdd": _WHOLE, "Jpeg": _WHOLE,
}  # fmt: skip
_ROW = np.dtype([
    ("op", np.int8), ("probability", np.float64), ("plain", np.bool_),
    ("signed", np.bool_), ("mirrored", np.bool_), ("low", np.float64),
    ("span", np.float64), ("levels", np.int64), ("unit", np.int8),
    ("side", np.float64),
])  # fmt: skip
_EMPTY = (NOT_APPLIED, 0.0, True, False, False, 0.0, 0.0, 0, _SAME, 0.0)


@dataclass(frozen=True)
class _Table:
    """The ops of all lists of a policy, one row each, and an empty last row.

    Attributes:
        rows: (R,) records: id, probability, whether it has no magnitude, whether a
            coin gives a sign, or mirrors the factor about 1, first magnitude, last
            minus first, number of levels (0 = continuous), how a continuous
            magnitude comes into plan units, and the side a fraction is of, pixels.
        spaced: (R, most levels) magnitudes of the levels, in plan units.
        sequences: (S, longest) rows of the sub-policies; padded with the empty row.
        units: those that occur among the continuous magnitudes.
    """

    rows: npt.NDArray[np.void]
    spaced: Float64
    sequences: Index
    units: frozenset[int]

    def any(self, field: str) -> bool:
        """Whether a field is set in some row."""
        return bool(self.rows[field].any())


def draw_ops(
    policy: Policy, u: Float64, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int8], Float64]:
    """Draw the ops of N views.

    Args:
        policy: a native policy.
        u: (N, slots, 6) uniform numbers in [0, 1).
        shape: (H, W) of the images, pixels.

    Returns:
        op: (N, slots) int8 op ids, -1 = not applied.
        value: (N, slots) float64 magnitudes in a plan's units, signed; 0 where no
            op is applied or where the op has no magnitude.
    """
    table = _table(policy, shape)
    row = _draw_rows(policy, table, u)
    value = _magnitudes(table, row, u[..., LEVEL])
    minus = u[..., SIGN] < 0.5
    if table.any("signed"):
        np.negative(value, out=value, where=minus & table.rows["signed"][row])
    if table.any("mirrored"):
        np.subtract(2, value, out=value, where=minus & table.rows["mirrored"][row])
    skipped = u[..., APPLY] >= table.rows["probability"][row]
    op = table.rows["op"][row]
    op[skipped] = NOT_APPLIED
    value[skipped | table.rows["plain"][row]] = 0.0
    return op, value


def _draw_rows(policy: Policy, table: _Table, u: Float64) -> Index:
    """Choose the table's row for each (view, slot)."""
    first, ops, last = len(policy.first), len(policy.ops), len(policy.last)
    row = np.empty(u.shape[:2], dtype=np.intp)
    row[:, :first] = np.arange(first)
    drawn = slice(first, first + policy.drawn_slots)
    if policy.subpolicies:
        choice = (u[:, first, CHOICE] * len(policy.subpolicies)).astype(np.intp)
        row[:, drawn] = table.sequences[choice]
    else:
        row[:, drawn] = first + (u[:, drawn, CHOICE] * ops).astype(np.intp)
    end = len(table.rows) - 1
    row[:, drawn.stop :] = np.arange(end - last, end)
    return row


def _magnitudes(table: _Table, row: Index, u: Float64) -> Float64:
    """Return the unsigned (N, slots) magnitudes, in plan units."""
    num = table.rows["levels"][row]
    leveled: Float64 = table.spaced[row, (u * num).astype(np.intp)]
    if not table.units:
        return leveled
    value: Float64 = table.rows["low"][row] + u * table.rows["span"][row]
    unit, side = table.rows["unit"][row], table.rows["side"][row]
    for kind in table.units:
        np.copyto(value, _CONVERT[kind](value, side), where=unit == kind)
    return np.where(num > 0, leveled, value)


_CONVERT = {
    _SAME: lambda value, side: value,
    _PIXELS: lambda value, side: np.floor(value * side + NUDGE),
    _WHOLE: lambda value, side: np.rint(value),
}


@lru_cache(maxsize=64)
def _table(policy: Policy, shape: tuple[int, int]) -> _Table:
    specs = policy.every_op()
    drawn = range(len(policy.first), len(policy.first) + len(policy.ops))
    records = [
        _record(spec, shape, policy.probability if row in drawn else 1.0)
        for row, spec in enumerate(specs)
    ]
    rows = np.array([*records, _EMPTY], dtype=_ROW)
    spaced = np.zeros((len(rows), max(1, int(rows["levels"].max()))))
    for row, spec in enumerate(specs):
        if rows["levels"][row]:
            spaced[row, : rows["levels"][row]] = level_values(spec, shape)
    sequences = np.full(
        (len(policy.subpolicies), policy.drawn_slots), len(specs), dtype=np.intp
    )
    next_row = drawn.stop
    for number, sequence in enumerate(policy.subpolicies):
        sequences[number, : len(sequence)] = next_row + np.arange(len(sequence))
        next_row += len(sequence)
    continuous = rows[~rows["plain"] & (rows["levels"] == 0)]
    return _Table(rows, spaced, sequences, frozenset(continuous["unit"].tolist()))


def _record(
    spec: OpSpec, shape: tuple[int, int], probability: float
) -> tuple[Any, ...]:
    op = OPS[spec.name]
    low, high = spec.low or 0.0, spec.high or 0.0
    return (
        op.id,
        probability if spec.probability is None else spec.probability,
        not op.has_magnitude,
        op.signed,
        spec.mirrored,
        low,
        high - low,
        spec.levels or 0,
        _UNITS.get(op.name, _SAME),
        _side(op, shape),
    )


def limits(name: str, shape: tuple[int, int]) -> tuple[float, float, bool]:
    """Return what an op's magnitudes lie between in a plan, signs left aside.

    Args:
        name: a key of ``OPS``.
        shape: (H, W) of the images, pixels.

    Returns:
        The smallest and the largest, in plan units, and whether they are whole.
    """
    op, unit = OPS[name], _UNITS.get(name, _SAME)
    low, high = _CONVERT[unit](np.array([op.low, op.high]), _side(op, shape))
    return float(low), float(high), unit != _SAME


def _side(op: Op, shape: tuple[int, int]) -> float:
    """Pixels of the side that an op's fraction is of."""
    sides = {"TranslateX": shape[1], "TranslateY": shape[0]}
    return float(sides.get(op.name, min(shape)))


@lru_cache(maxsize=1024)
def level_values(spec: OpSpec, shape: tuple[int, int]) -> Float64:
    """Return the (levels,) magnitudes of a spec, unsigned, in plan units.

    Levels are equally spaced; bits and grey levels are then rounded half to
    even, which gives the published tables 4 - int(.4 l) and 256 - int(25.6 l)
    of google-research/uda from (4..1) and (231..26).
    """
    op = OPS[spec.name]
    spaced = np.linspace(spec.low or 0.0, spec.high or 0.0, spec.levels or 1)
    values = _CONVERT[_UNITS.get(op.name, _SAME)](spaced, _side(op, shape))
    result: Float64 = np.array(values)
    result.setflags(write=False)
    return result
