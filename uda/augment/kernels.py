"""Execute plans: the same pixels from every executor, thread count and split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from uda.augment import fallback, plugins
from uda.augment.plan import Plan, draw
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]


def apply(
    plan: Plan, images: UInt8, *, fill: npt.ArrayLike, out: UInt8 | None = None
) -> UInt8:
    """Execute a plan.

    Args:
        plan: of N views of shape (H, W).
        images: (N, H, W, K) uint8, K in {1, 3}; not changed.
        fill: (K,) uint8, written by geometric ops and cutout.
        out: (N, H, W, K) uint8 to write to; made when None.

    Returns:
        (N, H, W, K) uint8, ``out`` where given.

    Raises:
        DataError: the arrays do not fit the plan or each other.
    """
    filling, out = _checked(images, fill, out)
    if images.shape[:3] != (len(plan), *plan.shape):
        raise DataError(
            f"images of shape {images.shape} do not fit a plan of {len(plan)} views "
            f"of {plan.shape[0]}x{plan.shape[1]} px"
        )
    fallback.apply(plan, images, fill=filling, out=out)
    return out


def _checked(
    images: UInt8, fill: npt.ArrayLike, out: UInt8 | None
) -> tuple[UInt8, UInt8]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"images are {images.dtype} of shape {images.shape}; views need uint8 "
            "(N, H, W, K) with K = 1 or 3"
        )
    filling = np.ascontiguousarray(fill, dtype=np.uint8).reshape(-1)
    if filling.shape != images.shape[3:]:
        raise DataError(
            f"fill has {filling.size} values for {images.shape[3]} channels"
        )
    if out is None:
        return filling, np.empty(images.shape, dtype=np.uint8)
    if out.dtype != np.uint8 or out.shape != images.shape:
        raise DataError(
            f"out is {out.dtype} of shape {out.shape}; it must be uint8 of shape "
            f"{images.shape}"
        )
    return filling, out


def render(
    policy: Policy | PythonPolicy,
    images: UInt8,
    *,
    seed: int,
    stream: str,
    counters: npt.ArrayLike,
    fill: npt.ArrayLike,
    out: UInt8 | None = None,
) -> UInt8:
    """Draw and execute one view per image.

    Args:
        policy: native or Python.
        images: (N, H, W, K) uint8, K in {1, 3}; not changed.
        seed: the run's seed.
        stream: name of the view, for example "strong".
        counters: (N,) non-negative integers; view i depends on counters[i] and
            image i alone.
        fill: (K,) uint8, the data set's mean; a policy whose fill is "black" or
            "gray" uses 0 or 128 instead.
        out: (N, H, W, K) uint8 to write to; made when None.

    Returns:
        (N, H, W, K) uint8, ``out`` where given.

    Raises:
        DataError: arrays that do not fit, or a fault of a Python policy.
    """
    filling, out = _checked(images, fill, out)
    counter = np.asarray(counters, dtype=np.int64).reshape(-1)
    if len(counter) != len(images):
        raise DataError(f"{len(counter)} counters for {len(images)} images")
    if isinstance(policy, PythonPolicy):
        plugins.render_python(
            policy, images, out, seed=seed, stream=stream, counters=counter
        )
        return out
    height, width = images.shape[1:3]
    plan = draw(
        policy, seed=seed, stream=stream, counters=counter, shape=(height, width)
    )
    if policy.fill != "mean":
        filling = np.full_like(filling, 0 if policy.fill == "black" else 128)
    return apply(plan, images, fill=filling, out=out)
