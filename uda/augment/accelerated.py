"""Executes a Plan with torch, whole batches at a time, on any of its devices.

For views made where the model is. Nobody uses it unless asked: on a CPU the
compiled executor is many times faster (`docs/benchmarks.md`).

The host never waits for the device: which rows get which op is known from the
plan, so pixels are never asked about, and all copies go one way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uda.augment import accelerated_ops, tables
from uda.augment.accelerated_ops import Float64, Put, Rows
from uda.augment.ops import OPS
from uda.augment.plan import Plan
from uda.errors import DataError

_CODEC = [op.id for op in OPS.values() if op.kind == "codec"]
_GEOMETRY = {op.id for op in OPS.values() if op.kind == "geometry"}
_CUTOUT, _CROP = OPS["Cutout"].id, OPS["ResizedCrop"].id
_COLORED = {OPS[name].id for name in ("Color", "Hue", "Saturation")}


def apply(
    plan: Plan,
    images: Tensor,
    *,
    fill: npt.ArrayLike,
    out: Tensor | None = None,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Tensor:
    """Execute a plan where the images are.

    Args:
        plan: of N views of shape (H, W).
        images: (N, K, H, W) uint8 on any device, K in {1, 3}; not changed.
        fill: (K,) 0..255, written by geometric ops and cutout.
        out: (N, K, H, W) on the same device to write to; made when None.
        normalize: (mean, std), each (K,) in 0..1; None leaves grey levels.

    Returns:
        (N, K, H, W), ``out`` where given: uint8 equal to what ``kernels.apply``
        writes, or with ``normalize`` float32 ``(level / 255 - mean) / std``.

    Raises:
        DataError: the arrays do not fit the plan, or the plan holds the op Jpeg,
            which only Pillow's encoder can execute.
    """
    filling = _checked(plan, images, fill)
    put = _uploader(images.device)
    batch = images.contiguous()
    if not plan.geometry_last:
        batch = _weak(plan, batch, put)
    color = put(filling).view(1, -1, 1, 1)
    maps = tables.matrices(plan)
    for slot in range(plan.op.shape[1]):
        batch = _slot(plan, slot, batch, color, maps=maps[:, slot], put=put)
    batch = _erase(batch, plan.cut, color, put)
    if plan.geometry_last:
        batch = _weak(plan, batch, put)
    result = batch if normalize is None else _normalized(batch, *normalize, put)
    if out is None:
        return result.clone() if result is images else result
    return out.copy_(result)


def _checked(plan: Plan, images: Tensor, fill: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
        raise DataError(
            f"images are {images.dtype} of shape {shape}; views need uint8 "
            "(N, K, H, W) with K = 1 or 3"
        )
    if (shape[0], *shape[2:]) != (len(plan), *plan.shape):
        raise DataError(
            f"images of shape {shape} do not fit a plan of {len(plan)} views of "
            f"{plan.shape[0]}x{plan.shape[1]} px"
        )
    if np.isin(plan.op, _CODEC).any():
        raise DataError(
            "the plan holds the op Jpeg, which the torch executor cannot do; take it "
            "out of the policy or use uda.augment.kernels.apply"
        )
    filling = np.ascontiguousarray(fill, dtype=np.uint8).reshape(-1)
    if len(filling) != shape[1]:
        raise DataError(f"fill has {len(filling)} values for {shape[1]} channels")
    return filling


def _uploader(device: torch.device) -> Put:
    """Return a function that copies an array to the device without waiting."""

    def put(array: npt.NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.require(array, requirements=("C", "W")))
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    return put


def _slot(
    plan: Plan, slot: int, batch: Tensor, color: Tensor, *, maps: Float64, put: Put
) -> Tensor:
    """Execute the ops in one slot of all rows: one op and its rows at a time."""
    skipped = {0} if batch.shape[1] == 3 else {0, *_COLORED}
    column = plan.op[:, slot]
    result = batch
    for code in sorted({int(op) for op in column if op >= 0} - skipped):
        chosen = np.flatnonzero(column == code)
        rows = Rows(
            value=plan.value[chosen, slot],
            box=plan.box[chosen, slot],
            maps=maps[chosen],
            place=plan.place[chosen, slot],
            put=put,
        )
        where = put(chosen)
        images = batch.index_select(0, where)
        if code in _GEOMETRY:
            views = _move(plan, code, rows, images, color)
        elif code == _CUTOUT:
            views = _erase(images, rows.box, color, put)
        else:
            views = accelerated_ops.BY_ID[code](images, rows)
        # Rows of other ops are only read from ``batch``, which stays as it is.
        result = batch.clone() if result is batch else result
        result.index_copy_(0, where, views)
    return result


def _erase(
    images: Tensor, box: npt.NDArray[np.int32], color: Tensor, put: Put
) -> Tensor:
    """Write the fill into a half-open box (n, 4) of each image."""
    if not ((box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])).any():
        return images
    height, width = images.shape[2:]
    y0, x0, y1, x1 = put(box.T.astype(np.int64)).view(4, -1, 1, 1, 1)
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    return torch.where((y >= y0) & (y < y1) & (x >= x0) & (x < x1), color, images)


def _weak(plan: Plan, images: Tensor, put: Put) -> Tensor:
    """Quarter turns, flips and the crop of the reflect-padded image: one gather."""
    moved = plan.hflip | plan.vflip | (plan.turns != 0)
    if not (moved | (plan.dy != 0) | (plan.dx != 0)).any():
        return images
    height, width = plan.shape
    turned = plan.turns % 2 == 1
    rows = _lines(height, (plan.vflip != 0) ^ np.isin(plan.turns, (1, 2)), plan.dy)
    columns = _lines(width, (plan.hflip != 0) ^ np.isin(plan.turns, (2, 3)), plan.dx)
    # A quarter turn walks along the columns of the source.
    down = put(rows * np.where(turned, 1, width)[:, None])
    right = put(columns * np.where(turned, width, 1)[:, None])
    return _take(images, down[:, :, None] + right[:, None, :])


def _lines(
    side: int, flip: npt.NDArray[np.bool_], shift: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Source line (n, side) of each line, flipped and shifted."""
    source = np.abs(np.arange(side) + shift[:, None].astype(np.int64))
    source = np.where(source < side, source, 2 * (side - 1) - source)
    return np.where(flip[:, None], side - 1 - source, source)


def _take(images: Tensor, index: Tensor) -> Tensor:
    """Pixels (n, K, H, W) of images at flat positions (n, H, W)."""
    flat = images.flatten(2)
    return flat.gather(2, index.flatten(1)[:, None].expand_as(flat)).view_as(images)


def _move(plan: Plan, code: int, rows: Rows, images: Tensor, color: Tensor) -> Tensor:
    if plan.bilinear or code == _CROP:
        return _bilinear(plan, code, rows, images, color)
    height, width = plan.shape
    a = rows.put(tables.fixed_point(rows.maps).T).view(6, -1, 1, 1)
    y, x = _grid(images, torch.int64)
    source_x = (a[2] + a[0] * x + a[1] * y) >> 16
    source_y = (a[5] + a[3] * x + a[4] * y) >> 16
    if plan.reflect:
        return _take(images, _fold(source_y, height) * width + _fold(source_x, width))
    known = (source_x >= 0) & (source_x < width)
    known &= (source_y >= 0) & (source_y < height)
    index = source_y.clamp(0, height - 1) * width + source_x.clamp(0, width - 1)
    return torch.where(known[:, None], _take(images, index), color)


def _bilinear(
    plan: Plan, code: int, rows: Rows, images: Tensor, color: Tensor
) -> Tensor:
    """Pillow's bilinear transform: float64 throughout, truncated at the end."""
    reflect = plan.reflect and code != _CROP
    height, width = plan.shape
    a = rows.put(rows.maps.T).view(6, -1, 1, 1)
    y, x = _grid(images, torch.float64)
    y, x = y + 0.5, x + 0.5
    source_x = a[0] * x + a[1] * y + a[2]
    source_y = a[3] * x + a[4] * y + a[5]
    known = (source_x >= 0) & (source_x < width)
    known &= (source_y >= 0) & (source_y < height)
    left, top = (source_x - 0.5).floor(), (source_y - 0.5).floor()
    across = (source_x - 0.5 - left)[:, None]
    down = (source_y - 0.5 - top)[:, None]
    fold: Callable[[Tensor, int], Tensor] = _fold if reflect else _clip
    columns = [fold(left.long() + i, width) for i in (0, 1)]
    lines = []
    for i in (0, 1):
        row = fold(top.long() + i, height) * width
        first, second = (_take(images, row + column).double() for column in columns)
        lines.append(first + (second - first) * across)
    mixed = (lines[0] + (lines[1] - lines[0]) * down).to(torch.uint8)
    return mixed if reflect else torch.where(known[:, None], mixed, color)


def _grid(images: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    height, width = images.shape[2:]
    y = torch.arange(height, dtype=dtype, device=images.device)
    x = torch.arange(width, dtype=dtype, device=images.device)
    return y.view(1, -1, 1), x.view(1, 1, -1)


def _fold(index: Tensor, side: int) -> Tensor:
    """Reflect positions into 0..side-1, as often as needed."""
    period = max(2 * (side - 1), 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index) if side > 1 else index


def _clip(index: Tensor, side: int) -> Tensor:
    return index.clamp(0, side - 1)


def _normalized(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    put: Put,
) -> Tensor:
    """Return (level / 255 - mean) / std in float32, in two passes."""
    mean_, std_ = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    scale = put((1 / (255 * std_)).astype(np.float32)).view(1, -1, 1, 1)
    offset = put((-mean_ / std_).astype(np.float32)).view(1, -1, 1, 1)
    return (images * scale).add_(offset)
