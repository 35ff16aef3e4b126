"""Execute plans: the same pixels from every executor, thread count and split.

The compiled executor is used where numba works; ``UDA_EXECUTOR=pillow`` asks for
the other one. They agree bit for bit, so a run may move between them.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from uda.augment import fallback, plugins, tables
from uda.augment.ops import OPS
from uda.augment.plan import Plan, draw
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError, UsageError

UInt8 = npt.NDArray[np.uint8]
Execute = Callable[..., None]

_VARIABLE = "UDA_EXECUTOR"
_FIRST_GEOMETRY, _LAST_GEOMETRY = OPS["ShearX"].id, OPS["Rotate"].id
# Fewer views than this per thread cost more to hand out than to make.
_MIN_PER_THREAD = 8


def warm_up() -> Literal["numba", "pillow"]:
    """Make the executor ready and return which one it is.

    The first call on a machine compiles for some seconds, later ones load the
    result in less than one. Without this call, the first ``apply`` does it.

    Raises:
        UsageError: the variable UDA_EXECUTOR holds something unknown, or numba
            where numba cannot be used.
    """
    wanted = os.environ.get(_VARIABLE, "")
    if wanted not in ("", "numba", "pillow"):
        raise UsageError(f"{_VARIABLE} is {wanted!r}; set it to numba or pillow")
    if wanted == "pillow":
        return "pillow"
    if _compiled() is not None:
        return "numba"
    if wanted:
        raise UsageError(
            f"{_VARIABLE} is numba, but numba cannot be imported here; set it to "
            "pillow, or install a numba that fits this Python and numpy"
        )
    return "pillow"


@cache
def _compiled() -> Execute | None:
    """Import, and so compile or load, the compiled executor; None without numba."""
    try:
        numba = importlib.import_module("numba")
    except (ImportError, AttributeError):  # missing, or too old for this numpy
        return None
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = before or _cache_folder()
    try:
        module = importlib.import_module("uda.augment.compiled")
    except numba.core.errors.NumbaError:  # a numba that cannot compile this
        return None
    finally:
        numba.config.CACHE_DIR = before
    execute: Execute = module.execute
    return execute


def _cache_folder() -> str:
    """Return a folder of the user's own for compiled code, or "" for none.

    Never a shared temporary folder: what lies there is run when it is loaded. The
    name follows the source: numba itself looks only at its size and date.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    source = Path(__file__).with_name("compiled.py").read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:16]
    try:
        folder = Path(base).expanduser() / "uda" / "kernels" / digest
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or a user without a home
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


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
    filling, out = _checked(images, fill, out)
    if images.shape[:3] != (len(plan), *plan.shape):
        raise DataError(
            f"images of shape {images.shape} do not fit a plan of {len(plan)} views "
            f"of {plan.shape[0]}x{plan.shape[1]} px"
        )
    if warm_up() == "numba":
        _apply_compiled(plan, images, filling, out=out, threads=threads)
    else:
        fallback.apply(plan, images, fill=filling, out=out)
    return out


def _apply_compiled(
    plan: Plan, images: UInt8, fill: UInt8, *, out: UInt8, threads: int
) -> None:
    execute = _compiled()
    assert execute is not None
    # Read-only or strided arrays would be other signatures: one copy is cheaper.
    source = np.require(images, requirements=("C", "W"))
    target = out if out.flags.c_contiguous else np.empty(out.shape, dtype=np.uint8)
    size = tuple(np.uint64(side) for side in images.shape[1:])
    rows = {
        name: np.require(getattr(plan, name), requirements=("C", "W"))
        for name in ("op", "value", "box", "hflip", "vflip", "turns", "dy", "dx", "cut")
    }
    arguments = (
        source.reshape(-1), target.reshape(-1), size, rows["op"], rows["value"],
        _matrices(plan), rows["box"], rows["hflip"], rows["vflip"], rows["turns"],
        rows["dy"], rows["dx"], rows["cut"], fill, plan.geometry_last,
    )  # fmt: skip
    edges = _edges(len(plan), threads)
    if len(edges) == 2:
        execute(*arguments, *edges)
    else:
        pool = _pool(threads, os.getpid())
        parts = itertools.pairwise(edges)
        jobs = [pool.submit(execute, *arguments, *part) for part in parts]
        for job in jobs:
            job.result()
    if target is not out:
        out[...] = target


def _edges(num: int, threads: int) -> list[np.uint64]:
    """Return where the views are cut into one part per thread."""
    parts = max(1, min(threads, num // _MIN_PER_THREAD))
    return [np.uint64(num * i // parts) for i in range(parts + 1)]


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the pool of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"uda-views-{process}")


def _matrices(plan: Plan) -> tables.Int64:
    """Fixed-point maps (N, count, 6) of the geometric ops, zero elsewhere."""
    matrices = np.zeros((*plan.op.shape, 6), dtype=np.int64)
    moving = (plan.op >= _FIRST_GEOMETRY) & (plan.op <= _LAST_GEOMETRY)
    maps = [
        tables.affine(op_id, value, *plan.shape)
        for op_id, value in zip(
            plan.op[moving].tolist(), plan.value[moving].tolist(), strict=True
        )
    ]
    if maps:
        matrices[moving] = maps
    return matrices


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
            "gray" uses 0 or 128 instead.
        out: (N, H, W, K) uint8 to write to, other memory than ``images``; made
            when None.
        threads: as in ``apply``; Python policies run in one.

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
    return apply(plan, images, fill=filling, out=out, threads=threads)
