"""Boxes follow the pixels: where the boxes of an image lie in a view of a Plan.

Boxes are float64 x0, y0, x1, y1 in pixels, as continuous edges: the left edge of
the image is 0, its right edge W, so pixel i covers i..i+1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from uda.augment import polygons
from uda.augment.ops import NAMES, NOT_APPLIED, OPS
from uda.augment.plan import Plan
from uda.augment.polygons import Rectangle
from uda.augment.tables import matrices
from uda.errors import DataError, UsageError

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_CUTOUT = OPS["Cutout"].id
_CLIPS = ("visible", "frame", "none")
# Shares and lengths this close to a limit pass it: rounding is no reason to drop.
_SLACK = 1e-9


@dataclass(frozen=True)
class BoxRules:
    """What becomes of a box that was turned, cut or covered.

    Attributes:
        clip: "visible" = the smallest box around what is still visible of the
            original box; "frame" = the box around its moved corners, cut at the
            frame (what albumentations and torchvision do); "none" = the same with
            its overhang.
        ellipse: enclose the moved inscribed ellipse instead of the corners: right
            for round objects, whose box would otherwise grow with every turn.
        min_visibility: least visible share of the ORIGINAL box's area, 0..1.
        min_side: least width and height of the new box, pixels.
        count_cover: whether what a Cutout covers counts as hidden.
    """

    clip: Literal["visible", "frame", "none"] = "visible"
    ellipse: bool = False
    min_visibility: float = 0.0
    min_side: float = 1.0
    count_cover: bool = True

    def __post_init__(self) -> None:
        if self.clip not in _CLIPS:
            raise UsageError(f"clip is {self.clip!r}; choose {', '.join(_CLIPS)}")
        if not 0 <= self.min_visibility <= 1:
            raise UsageError(
                f"min_visibility is {self.min_visibility}; it is a share, 0..1"
            )
        if not 0 <= self.min_side < float("inf"):
            raise UsageError(f"min_side is {self.min_side}; it is a length in pixels")


@dataclass(frozen=True)
class MovedBoxes:
    """The boxes of one view; m of n original boxes were kept.

    Attributes:
        boxes: (m, 4) float64 x0, y0, x1, y1 in the view.
        index: (m,) int64 which original box each one is.
        visibility: (m,) float64 visible share of the original box's area; NaN
            where a foreign library moved the boxes and does not tell.
        clipped: (m,) bool whether part of the box was cut off at a frame.
        reasons: for each of the n original boxes why it was dropped: "outside",
            "visibility" (also: wholly covered), "side", "library" (it does not
            say why); "" = kept.
    """

    boxes: Float64
    index: Int64
    visibility: Float64
    clipped: npt.NDArray[np.bool_]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Step:
    """One thing that happens to an image: it is moved, or a part is covered."""

    matrix: Float64 | None = None
    cover: Rectangle | None = None


def transform_boxes(
    plan: Plan, row: int, boxes: npt.ArrayLike, *, rules: BoxRules | None = None
) -> MovedBoxes:
    """Move the boxes of one image as a plan's row moves its pixels.

    The visible share of a box is the area of what can be seen of the moved
    rectangle, divided by the area of the moved rectangle; what an earlier op
    pushed out of the frame does not come back, and what Cutout covers is hidden.
    The mirrored border of a reflect-padded crop shows copies, not the object: the
    box is shifted and cut, and the copies get none. Cutout never changes a box.

    Every drawn pixel of the object lies inside its box or within one pixel of it:
    where several ops follow each other and each is sampled in whole pixels, their
    roundings add up, and the box is widened by what exceeds one pixel.

    Args:
        plan: as drawn for the image's shape.
        row: of the plan.
        boxes: (n, 4) x0, y0, x1, y1 in pixels, edges 0..W and 0..H.
        rules: what is clipped and dropped; None = the defaults of ``BoxRules``.

    Returns:
        The kept boxes in their original order.

    Raises:
        DataError: boxes of another shape, not finite, or without area.
    """
    rules = rules or BoxRules()
    original = checked_boxes(boxes)
    height, width = plan.shape
    frame = (0.0, 0.0, float(width), float(height))
    steps = list(_steps(plan, row))
    wider = np.maximum(0.0, drawn_off(plan, row) - 1)
    followed = [
        _follow(box, steps, frame=frame, wider=wider, rules=rules) for box in original
    ]
    return collect(followed, rules)


def drawn_off(plan: Plan, row: int) -> Float64:
    """Return (x, y): how far from its place an object's edge may be drawn, pixels.

    Half a pixel for the last op, since it is drawn in whole pixels, and half a pixel
    for each op before it, turned and enlarged as the later ones do. Interpolated
    edges are meant where they are half as bright as the object.
    """
    total, later = np.full(2, 0.5), np.eye(2)
    maps = matrices(plan[row : row + 1])[0]
    moving = [slot for slot, op in enumerate(plan.op[row].tolist()) if _moves(op)]
    for slot in reversed(moving):
        if slot != moving[-1]:  # its result was in whole pixels, too
            total = total + 0.5 * np.abs(later).sum(axis=1)
        later = later @ np.linalg.inv(maps[slot][[0, 1, 3, 4]].reshape(2, 2))
    swapped = plan.geometry_last and int(plan.turns[row]) % 2
    return total[::-1] if swapped else total


def _moves(op_id: int) -> bool:
    return op_id != NOT_APPLIED and OPS[NAMES[op_id]].kind == "geometry"


def checked_boxes(boxes: npt.ArrayLike) -> Float64:
    """Return boxes as float64 (n, 4).

    Raises:
        DataError: another shape, a value that is not finite, a box without area.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"boxes have shape {array.shape}; they must be (n, 4)")
    if not np.isfinite(array).all():
        raise DataError("boxes hold values that are not finite")
    if not ((array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])).all():
        raise DataError("a box has no area: x1 must exceed x0, and y1 y0")
    return array


@dataclass(frozen=True)
class Followed:
    """One box after all steps: where it lies, its visible share, was it cut.

    ``lost`` is the reason where there is no box.
    """

    box: Float64 | None
    visibility: float
    clipped: bool
    lost: str = "outside"


def collect(followed: list[Followed], rules: BoxRules) -> MovedBoxes:
    """Apply the limits of the rules and gather what is kept."""
    reasons = tuple(_reason(item, rules) for item in followed)
    index = [i for i, reason in enumerate(reasons) if not reason]
    kept = [followed[i] for i in index]
    return MovedBoxes(
        boxes=np.array([item.box for item in kept], dtype=np.float64).reshape(-1, 4),
        index=np.array(index, dtype=np.int64),
        visibility=np.array([item.visibility for item in kept], dtype=np.float64),
        clipped=np.array([item.clipped for item in kept], dtype=np.bool_),
        reasons=reasons,
    )


def _reason(item: Followed, rules: BoxRules) -> str:
    if item.box is None:
        return item.lost
    if item.visibility <= 0 or item.visibility < rules.min_visibility - _SLACK:
        return "visibility"
    x0, y0, x1, y1 = item.box
    side = min(x1 - x0, y1 - y0)
    return "side" if side <= 0 or side < rules.min_side - _SLACK else ""


def _steps(plan: Plan, row: int) -> Iterator[_Step]:
    """Return what happens to a row's image, in the executors' order."""
    weak = [_Step(matrix) for matrix in _weak(plan, row)]
    if not plan.geometry_last:
        yield from weak
    maps = matrices(plan[row : row + 1])[0]
    for slot, op_id in enumerate(plan.op[row].tolist()):
        if op_id == _CUTOUT:
            yield from _cover(plan.box[row, slot])
        elif _moves(op_id):
            yield _Step(_inverse(maps[slot]))
    yield from _cover(plan.cut[row])
    if plan.geometry_last:
        yield from weak


def _weak(plan: Plan, row: int) -> Iterator[Float64]:
    """Forward maps of turns, flips and crop; a turn of 90 needs a square."""
    height, width = plan.shape
    turns = int(plan.turns[row]) % 4
    if turns == 1:  # counter-clockwise: the right edge comes to the top
        yield np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, width]])
    elif turns == 2:
        yield np.array([[-1.0, 0.0, width], [0.0, -1.0, height]])
    elif turns == 3:
        yield np.array([[0.0, -1.0, height], [1.0, 0.0, 0.0]])
    if plan.hflip[row]:
        yield np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])
    if plan.vflip[row]:
        yield np.array([[1.0, 0.0, 0.0], [0.0, -1.0, height]])
    dy, dx = int(plan.dy[row]), int(plan.dx[row])
    if dy or dx:
        yield np.array([[1.0, 0.0, -dx], [0.0, 1.0, -dy]])


def _cover(box: npt.NDArray[np.int32]) -> Iterator[_Step]:
    y0, x0, y1, x1 = (float(edge) for edge in box)
    if y1 > y0 and x1 > x0:
        yield _Step(cover=(x0, y0, x1, y1))


def _inverse(matrix: Float64) -> Float64:
    """Turn an output -> source map (6,) into a source -> output map (2, 3)."""
    a, b, c, d, e, f = matrix.tolist()
    det = a * e - b * d
    return np.array(
        [
            [e / det, -b / det, (b * f - c * e) / det],
            [-d / det, a / det, (c * d - a * f) / det],
        ]
    )


def _follow(
    box: Float64,
    steps: list[_Step],
    *,
    frame: Rectangle,
    wider: Float64,
    rules: BoxRules,
) -> Followed:
    """Move one box through all steps, keeping track of what remains visible."""
    whole = polygons.corners(box)  # the box, cut by nothing
    inside = polygons.clipped(whole, frame)  # cut at the frame at every step
    seen = [inside]  # the same without what is covered
    total = np.eye(3)
    for step in steps:
        if step.matrix is not None:
            total = np.vstack([step.matrix, [0.0, 0.0, 1.0]]) @ total
            whole = polygons.moved(whole, step.matrix)
            inside = polygons.clipped(polygons.moved(inside, step.matrix), frame)
            seen = [
                polygons.clipped(polygons.moved(piece, step.matrix), frame)
                for piece in seen
            ]
        elif step.cover is not None and rules.count_cover:
            seen = [rest for p in seen for rest in polygons.without(p, step.cover)]
    size = polygons.area(whole)
    left = polygons.area(inside)
    if left <= _SLACK * size:
        return Followed(None, 0.0, clipped=True)
    share = min(1.0, sum(polygons.area(piece) for piece in seen) / size)
    found = _enclosed(box, total, whole=whole, inside=inside, rules=rules)
    found = found + np.concatenate([-wider, wider])
    if rules.clip != "none":
        found = _intersection(found, np.array(frame))
    return Followed(found, share, clipped=left < (1 - _SLACK) * size)


def _enclosed(
    box: Float64,
    total: Float64,
    *,
    whole: Float64,
    inside: Float64,
    rules: BoxRules,
) -> Float64:
    """Return the box around the moved shape, before it is cut at the frame."""
    around = _ellipse(box, total) if rules.ellipse else polygons.enclosing(whole)
    if rules.clip != "visible":
        return around
    return _intersection(around, polygons.enclosing(inside))


def _ellipse(box: Float64, total: Float64) -> Float64:
    """Return the box around the inscribed ellipse under a (3, 3) affine map."""
    centre = total[:2, :2] @ ((box[:2] + box[2:]) / 2) + total[:2, 2]
    half = np.hypot(*(total[:2, :2] * ((box[2:] - box[:2]) / 2)).T)
    return np.concatenate([centre - half, centre + half])


def _intersection(first: Float64, second: Float64) -> Float64:
    low = np.maximum(first[:2], second[:2])
    return np.concatenate([low, np.maximum(low, np.minimum(first[2:], second[2:]))])
