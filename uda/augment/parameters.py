"""What the compiled executor needs beside a Plan: constants and tables of its ops.

Made here are the numbers that need functions like cosine, power and logarithm:
whatever computes them, both executors get the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from uda.augment import tables
from uda.augment.filters import direction
from uda.augment.ops import OPS
from uda.augment.plan import Plan

Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]

_NUM_OPS = len(OPS)
_CURVES: dict[int, Callable[[float], UInt8]] = {
    OPS["Gamma"].id: tables.gamma_table,
    OPS["LogitBrightness"].id: lambda value: tables.logit_table(shift=value),
    OPS["LogitContrast"].id: lambda value: tables.logit_table(factor=value),
}
_VALUE = OPS["Value"].id
_ROTATE, _BLUR = OPS["Rotate"].id, OPS["Blur"].id
_ILLUMINATION = OPS["Illumination"].id


def parameters(plan: Plan, channels: int) -> tuple[Float64, UInt8]:
    """Return the constants and the tables of a plan's ops.

    Args:
        plan: of N views.
        channels: K, 1 or 3.

    Returns:
        (N, slots, 3) float64: cosine and sine (Rotate, Illumination), the box of
        ``tables.blur_box`` (Blur), the number of a table (Gamma, LogitBrightness,
        LogitContrast, and Value of grey images), else 0; and (M, 256) uint8
        tables, M >= 1.
    """
    op, value = plan.op, plan.value
    constants = np.zeros((*op.shape, 3))
    curves = [np.zeros(256, dtype=np.uint8)]
    used = np.bincount(op.ravel() + 1, minlength=_NUM_OPS + 1)[1:]
    makers = _CURVES if channels == 3 else _CURVES | {_VALUE: tables.value_table}
    for code, make in makers.items():
        for at in _places(plan, code) if used[code] else ():
            constants[at][0] = len(curves)
            curves.append(make(float(value[at])))
    for at in _places(plan, _ROTATE) if used[_ROTATE] else ():
        constants[at][:2] = tables.rotation(float(value[at]))
    for at in _places(plan, _ILLUMINATION) if used[_ILLUMINATION] else ():
        constants[at][:2] = direction(plan.place[at])
    for at in _places(plan, _BLUR) if used[_BLUR] else ():
        constants[at] = tables.blur_box(float(value[at]))
    return constants, np.stack(curves)


def _places(plan: Plan, code: int) -> list[tuple[int, int]]:
    rows, slots = np.nonzero(plan.op == code)
    return list(zip(rows.tolist(), slots.tolist(), strict=True))
