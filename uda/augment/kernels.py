"""Execute plans: the same pixels from every executor, thread count and split.

The compiled executor is used where numba works; ``UDA_EXECUTOR=pillow`` asks for
the other one. They agree bit for bit, so a run may move between them.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment import fallback, loading, plugins
from uda.augment.loading import is_compiled, warm_up
from uda.augment.ops import OPS
from uda.augment.parameters import parameters
from uda.augment.plan import Plan, draw
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError

__all__ = ["apply", "apply_normalized", "is_compiled", "render", "warm_up"]

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_JPEG = OPS["Jpeg"].id
_LEVELS = np.arange(256)
_EMPTY = np.zeros((1, 4), dtype=np.int32)
_FILLS = {"black": 0, "gray": 128}
# Fewer views than this per thread cost more to hand out than to make.
_MIN_PER_THREAD = 8


def apply(
    plan: Plan,
    images: UInt8,
    *,
    fill: npt.ArrayLike,
    out: UInt8 | None = None,
    threads: int = 1,
) -> UInt8:
    """Execute a plan.

    Args:
        plan: of N views of shape (H, W).
        images: (N, H, W, K) uint8, K in {1, 3}; not changed.
        fill: (K,) uint8, written by geometric ops and cutout.
        out: (N, H, W, K) uint8 to write to, other memory than ``images``; made
            when None.
        threads: threads the compiled executor divides the views among; it
            releases the GIL. The pixels do not depend on it.

    Returns:
        (N, H, W, K) uint8, ``out`` where given.

    Raises:
        DataError: the arrays do not fit the plan or each other.
    """
    filling = _checked(images, fill)
    out = _target(out, images.shape, np.dtype(np.uint8))
    _check_plan(plan, images)
    if loading.warm_up() == "pillow":
        fallback.apply(plan, images, fill=filling, out=out)
        return out
    _apply_compiled(plan, images, filling, out=out, threads=threads)
    return out


def apply_normalized(
    plan: Plan,
    images: UInt8,
    *,
    fill: npt.ArrayLike,
    mean: npt.ArrayLike,
    std: npt.ArrayLike,
    out: Float32 | None = None,
    threads: int = 1,
) -> Float32:
    """Execute a plan and write normalised planes, in the same pass.

    Args:
        plan: of N views of shape (H, W).
        images: (N, H, W, K) uint8, K in {1, 3}; not changed.
        fill: (K,) uint8, written by geometric ops and cutout.
        mean: (K,) subtracted, of levels in 0..1.
        std: (K,) divided by, of levels in 0..1.
        out: (N, K, H, W) float32 to write to; made when None.
        threads: as in ``apply``.

    Returns:
        (N, K, H, W) float32, ``out`` where given: (v / 255 - mean) / std of the
        grey levels v that ``apply`` gives, computed in float64 and rounded.

    Raises:
        DataError: the arrays do not fit the plan or each other.
    """
    filling = _checked(images, fill)
    num, height, width, channels = images.shape
    out = _target(out, (num, channels, height, width), np.dtype(np.float32))
    _check_plan(plan, images)
    norms = _norms(mean, std, channels)
    if loading.warm_up() == "numba":
        _apply_compiled(plan, images, filling, out=out, norms=norms, threads=threads)
        return out
    levels = np.empty_like(images)
    fallback.apply(plan, images, fill=filling, out=levels)
    for channel in range(channels):
        out[:, channel] = norms[channel][levels[..., channel]]
    return out


def _norms(mean: npt.ArrayLike, std: npt.ArrayLike, channels: int) -> Float32:
    """Tables (K, 256) of normalised levels."""
    means, stds = (np.asarray(v, dtype=np.float64).reshape(-1, 1) for v in (mean, std))
    if not len(means) == len(stds) == channels:
        raise DataError(
            f"mean and std have {len(means)} and {len(stds)} values for {channels} "
            "channels"
        )
    return ((_LEVELS / 255 - means) / stds).astype(np.float32)


def _apply_compiled(
    plan: Plan,
    images: UInt8,
    fill: UInt8,
    *,
    out: UInt8 | Float32,
    norms: Float32 | None = None,
    threads: int,
) -> None:
    """Execute on arrays that fit; with ``norms``, to float32 planes."""
    # Read-only or strided arrays would be other signatures: one copy is cheaper.
    source = _plain(images)
    target = out if out.flags.c_contiguous else np.empty(out.shape, dtype=out.dtype)
    flat, size = target.reshape(-1), images.shape[1:]
    empty = np.empty(0, np.float32)
    outputs: tuple[npt.NDArray[Any], ...] = (flat, empty, empty)
    if norms is not None:
        outputs = (np.empty(0, np.uint8), flat, norms.reshape(-1))
    constants, curves = parameters(plan, size[2])
    rows = {name: _plain(getattr(plan, name)) for name in _ROWS}
    rows["cut"] = np.concatenate([plan.cut, _EMPTY])
    arguments = (
        source.reshape(-1), *outputs, tuple(np.uint64(side) for side in size),
        rows["op"], rows["value"], constants, rows["place"], rows["box"], curves,
        *(rows[name] for name in _ROWS[4:]), fill,
        (plan.geometry_last, plan.bilinear, plan.reflect),
    )  # fmt: skip
    _in_parts(arguments, _edges(len(plan), threads), threads, size)
    if target is not out:
        out[...] = target
    _compress(plan, images, fill, out=out, norms=norms)


_ROWS = (
    "op", "value", "place", "box", "hflip", "vflip", "turns", "dy", "dx", "cut",
)  # fmt: skip


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that is contiguous and may be written to."""
    if array.flags.c_contiguous and array.flags.writeable:
        return array
    return np.require(array, requirements=("C", "W"))


def _in_parts(
    arguments: tuple[Any, ...],
    edges: list[np.uint64],
    threads: int,
    size: tuple[int, ...],
) -> None:
    execute, scratch = loading.compiled() or (None, None)
    assert execute is not None
    assert scratch is not None
    if len(edges) == 2:
        execute(*arguments, *scratch(*size), *edges)
        return
    parts = list(itertools.pairwise(edges))
    pool = _pool(threads, os.getpid())
    jobs = [
        pool.submit(execute, *arguments, *scratch(*size), *part) for part in parts[1:]
    ]
    # The caller works too, instead of waiting.
    execute(*arguments, *scratch(*size), *parts[0])
    for job in jobs:
        job.result()


def _compress(
    plan: Plan,
    images: UInt8,
    fill: UInt8,
    *,
    out: UInt8 | Float32,
    norms: Float32 | None,
) -> None:
    """Make the views with JPEG artefacts again, by Pillow from the start."""
    rows = np.flatnonzero((plan.op == _JPEG).any(axis=1))
    if not rows.size:
        return
    levels = np.empty((rows.size, *images.shape[1:]), dtype=np.uint8)
    fallback.apply(plan[rows], images[rows], fill=fill, out=levels)
    if norms is None:
        out[rows] = levels
        return
    for channel, table in enumerate(norms):
        out[rows, channel] = table[levels[..., channel]]


def _edges(num: int, threads: int) -> list[np.uint64]:
    """Return where the views are cut into one part per thread."""
    parts = max(1, min(threads, num // _MIN_PER_THREAD))
    return [np.uint64(num * i // parts) for i in range(parts + 1)]


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"uda-views-{process}")


def _checked(images: UInt8, fill: npt.ArrayLike) -> UInt8:
    """Return the fill (K,) of images that have the right shape and type."""
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
    return filling


def _check_plan(plan: Plan, images: UInt8) -> None:
    if images.shape[:3] != (len(plan), *plan.shape):
        raise DataError(
            f"images of shape {images.shape} do not fit a plan of {len(plan)} views "
            f"of {plan.shape[0]}x{plan.shape[1]} px"
        )


def _target(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], kind: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return ``out``, or an array of this shape and type where it is None."""
    if out is None:
        return np.empty(shape, dtype=kind)
    if out.dtype != kind or out.shape != shape:
        raise DataError(
            f"out is {out.dtype} of shape {out.shape}; it must be {kind} of shape "
            f"{shape}"
        )
    return out


def render(
    policy: Policy | PythonPolicy,
    images: UInt8,
    *,
    seed: int,
    stream: str,
    counters: npt.ArrayLike,
    fill: npt.ArrayLike,
    out: UInt8 | None = None,
    threads: int = 1,
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
            "gray" uses 0 or 128 instead. One whose fill is "reflect" needs it for
            cutout.
        out: (N, H, W, K) uint8 to write to, other memory than ``images``; made
            when None.
        threads: as in ``apply``; Python policies run in one.

    Returns:
        (N, H, W, K) uint8, ``out`` where given.

    Raises:
        DataError: arrays that do not fit, or a fault of a Python policy.
    """
    filling = _checked(images, fill)
    out = _target(out, images.shape, np.dtype(np.uint8))
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
    if policy.fill in _FILLS:
        filling = np.full_like(filling, _FILLS[policy.fill])
    return apply(plan, images, fill=filling, out=out, threads=threads)
