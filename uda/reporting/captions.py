"""Magnitudes and whole views in words, with their units: short enough for a caption.

Policies and plans measure some ops differently (``uda.augment.ops``); both are here.
"""

from __future__ import annotations

from collections.abc import Callable

from uda.augment.ops import NAMES, NOT_APPLIED, OPS
from uda.augment.plan import Plan

_Format = Callable[[float], str]
_IDENTITY = OPS["Identity"].id


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


_COMMON: dict[str, _Format] = {
    "Posterize": lambda v: f"{v:.0f} bit" + "s" * (round(v) != 1),
    "Solarize": lambda v: f"from {v:.0f}",
    "Rotate": lambda v: f"{v:.3g}°",
    "Hue": lambda v: f"{v:.3g}°",
    "SolarizeAdd": lambda v: f"+{v:.0f}",
    "Gamma": lambda v: f"^ {v:.2f}",
    "LogitBrightness": lambda v: f"{v:.2f}",
    "LogitContrast": lambda v: f"× {v:.2f}",
    "Blur": lambda v: f"{v:.2g} px",
    "Noise": lambda v: f"std {v:.2g}",
    "Jpeg": lambda v: f"quality {v:.0f}",
    "Illumination": lambda v: f"± {v:.2f}",
    "ResizedCrop": lambda v: f"{v:.0%} seen",
}
_IN_PLAN: dict[str, _Format] = {
    "TranslateX": lambda v: f"{v:.0f} px",
    "TranslateY": lambda v: f"{v:.0f} px",
    "Cutout": lambda v: f"{v:.0f} px",
}
_IN_POLICY: dict[str, _Format] = {
    "TranslateX": _percent,
    "TranslateY": _percent,
    "Cutout": _percent,
}


# Magnitudes in a plan that do nothing; of factors it is 1.
_NOTHING = dict.fromkeys(
    ["TranslateX", "TranslateY", "ShearX", "ShearY", "Rotate", "Hue", "Blur", "Noise"],
    0.0,
)


def magnitude(name: str, value: float, *, in_plan: bool = False) -> str:
    """Return a magnitude with its unit, such as ``10°``, ``× 0.84`` or ``6 %``.

    Args:
        name: of an op.
        value: in the unit of policies; may be negative for signed ops.
        in_plan: the value is one of a Plan (whole pixels).

    Returns:
        The text; empty for an op without magnitude.
    """
    op = OPS[name]
    if not op.has_magnitude:
        return ""
    value += 0.0  # no minus before a zero
    own = _IN_PLAN if in_plan else _IN_POLICY
    write = own.get(name) or _COMMON.get(name)
    if write is None:
        is_factor = op.unit.startswith("factor")
        text = f"× {value:.2f}" if is_factor else f"{value:.2g}"
    else:
        text = write(value)
    return f"+{text}" if op.signed and value > 0 else text


def describe(plan: Plan, row: int) -> list[str]:
    """Say what a plan does to one view, op by op, then flips, turns and shift.

    Returns:
        Short lines, in the order of execution; ``unchanged`` where nothing happens.
    """
    ops = [_op(plan, row, slot) for slot in range(plan.op.shape[1])]
    ops = [line for line in ops if line]
    y0, x0, y1, x1 = (int(edge) for edge in plan.cut[row])
    if y1 > y0 and x1 > x0:
        ops.append(f"erased {x1 - x0}×{y1 - y0} px")
    geometry = _geometry(plan, row)
    lines = ops + geometry if plan.geometry_last else geometry + ops
    return lines or ["unchanged"]


def _op(plan: Plan, row: int, slot: int) -> str:
    number = int(plan.op[row, slot])
    if number in (NOT_APPLIED, _IDENTITY):
        return ""
    name = NAMES[number]
    value = float(plan.value[row, slot])
    idle = 1.0 if OPS[name].unit.startswith("factor") else _NOTHING.get(name)
    if value == idle:
        return ""
    text = magnitude(name, value, in_plan=True)
    if text == "× 1.00":
        text = "≈ unchanged"
    return f"{name} {text}".rstrip()


def _geometry(plan: Plan, row: int) -> list[str]:
    """Return at most one line: turn, flips and movement with arrows."""
    words = []
    if plan.turns[row]:
        words.append(f"{90 * int(plan.turns[row])}°")
    flips = ("↔" if plan.hflip[row] else "") + ("↕" if plan.vflip[row] else "")
    if flips:
        words.append(f"flip {flips}")
    # The crop moves right and down in the padded image, what it shows the other way.
    words += [_arrow(int(plan.dx[row]), "←→"), _arrow(int(plan.dy[row]), "↑↓")]
    return [" ".join(filter(None, words))] if any(words) else []


def _arrow(shift: int, arrows: str) -> str:
    return f"{arrows[shift < 0]}{abs(shift)}" if shift else ""
