"""Convex polygons in float64: move, clip at a rectangle, cut a rectangle out, area.

A polygon is an (m, 2) array of x, y corners in order; no corners = nothing left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1

# Which coordinate, which edge of the rectangle, and the sign of "inside".
_SIDES = ((0, 0, 1.0), (1, 1, 1.0), (0, 2, -1.0), (1, 3, -1.0))
_NOTHING: Float64 = np.zeros((0, 2))


def corners(rectangle: npt.ArrayLike) -> Float64:
    """Return the (4, 2) corners of x0, y0, x1, y1."""
    x0, y0, x1, y1 = np.asarray(rectangle, dtype=np.float64)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def moved(polygon: Float64, matrix: Float64) -> Float64:
    """Apply a (2, 3) affine map to every corner."""
    return polygon @ matrix[:, :2].T + matrix[:, 2]


def area(polygon: Float64) -> float:
    """Return the area by the shoelace formula, 0 for less than three corners."""
    if len(polygon) < 3:
        return 0.0
    # Relative to one corner: far from the origin the products would cancel.
    x, y = (polygon - polygon[0]).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def enclosing(polygon: Float64) -> Float64:
    """Return x0, y0, x1, y1 of the smallest upright box around a polygon."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    return np.array([low[0], low[1], high[0], high[1]])


def clipped(polygon: Float64, rectangle: Rectangle) -> Float64:
    """Return the part inside a rectangle (Sutherland and Hodgman, 1974)."""
    for axis, edge, sign in _SIDES:
        polygon = _half(polygon, (axis, rectangle[edge]), sign)
    return polygon


def without(polygon: Float64, rectangle: Rectangle) -> list[Float64]:
    """Return what is left when a rectangle is cut out, as convex pieces.

    The pieces do not overlap; there are at most four, none when all is covered.
    """
    if not len(clipped(polygon, rectangle)):
        return [polygon] if len(polygon) else []
    pieces = []
    for axis, edge, sign in _SIDES:
        outside = _half(polygon, (axis, rectangle[edge]), -sign)
        if len(outside):
            pieces.append(outside)
        polygon = _half(polygon, (axis, rectangle[edge]), sign)
    return pieces


def _half(polygon: Float64, line: tuple[int, float], sign: float) -> Float64:
    """Keep the side of an upright line where ``sign * (coordinate - at) >= 0``."""
    if not len(polygon):
        return polygon
    axis, at = line
    distance = sign * (polygon[:, axis] - at)
    inside = distance >= 0
    if inside.all():
        return polygon
    if not (distance > 0).any():
        return _NOTHING
    kept = []
    for i, here in enumerate(polygon):
        j = (i + 1) % len(polygon)
        if inside[i]:
            kept.append(here)
        if inside[i] != inside[j] and distance[i] != 0 and distance[j] != 0:
            share = distance[i] / (distance[i] - distance[j])
            crossing = here + share * (polygon[j] - here)
            crossing[axis] = at  # exactly on the line, whatever the rounding
            kept.append(crossing)
    return np.array(kept)
