"""Compiled random numbers: those of `uda.rng`, in a tenth of the time.

Part of the compiled executor; `compiled` says how its indices and types are kept.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.compiled_levels import OPTIONS, U0, U1, U, jit

_U4, _SHIFT, _LOW = U(4), U(32), U(0xFFFFFFFF)
_MULTIPLIER_0, _MULTIPLIER_1 = U(0xD2511F53), U(0xCD9E8D57)
_WEYL_0, _WEYL_1 = U(0x9E3779B9), U(0xBB67AE85)


def _philox(counters, key_0, key_1, out):
    """Write the first words of Philox4x32-10 of each counter to its row of out."""
    num = U(out.shape[1])
    for row in range(U(out.shape[0])):
        for block in range((num + U(3)) // _U4):
            x0, x1 = counters[row] & _LOW, counters[row] >> _SHIFT
            x2, x3 = block, U0
            k0, k1 = key_0, key_1
            for _ in range(10):
                product_0, product_1 = _MULTIPLIER_0 * x0, _MULTIPLIER_1 * x2
                x0 = (product_1 >> _SHIFT) ^ x1 ^ k0
                x1 = product_1 & _LOW
                x2 = (product_0 >> _SHIFT) ^ x3 ^ k1
                x3 = product_0 & _LOW
                k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
            at = block * _U4
            for word in (x0, x1, x2, x3):
                if at < num:
                    out[row, at] = np.uint32(word)
                at += U1


def _compile() -> Callable[..., None]:
    """Compile for the one signature; without a writable cache, in memory."""
    signature = "void(u8[::1], u8, u8, u4[:, ::1])"
    try:
        return jit(signature, cache=True, **OPTIONS)(_philox)  # type: ignore[no-any-return]
    except (RuntimeError, OSError):
        return jit(signature, **OPTIONS)(_philox)  # type: ignore[no-any-return]


_compiled: Callable[..., None] = _compile()


def words(
    counters: npt.NDArray[np.uint64], key: tuple[int, int], num: int
) -> npt.NDArray[np.uint32]:
    """Draw (N, num) words of 32 bits, as `uda.rng.integers32` does."""
    out: npt.NDArray[Any] = np.empty((counters.size, num), dtype=np.uint32)
    _compiled(np.require(counters, None, ("C", "W")), U(key[0]), U(key[1]), out)
    return out
