from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.augment import polygons

SQUARE = polygons.corners((0, 0, 10, 10))
FRAME = (0.0, 0.0, 10.0, 10.0)


def share_inside(polygon, test, num=200):
    """Area by brute force: a fine grid of points inside a convex polygon."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    step = (high - low) / num
    x, y = np.meshgrid(*(low[i] + (np.arange(num) + 0.5) * step[i] for i in (0, 1)))
    following = np.roll(polygon, -1, axis=0)
    side = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        for a, b in zip(polygon, following, strict=True)
    ]
    inside = np.all([s >= 0 for s in side], axis=0) | np.all(
        [s <= 0 for s in side], axis=0
    )
    return float((inside & test(x, y)).sum() * step[0] * step[1])


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        (SQUARE, 100),
        (SQUARE[::-1], 100),
        ([[0, 0], [4, 0], [0, 3]], 6),
        ([[0, 0], [4, 0]], 0),
        (SQUARE + 1e9, 100),
    ],
)
def test_area(polygon, expected):
    assert polygons.area(np.array(polygon, dtype=float)) == pytest.approx(expected)


def test_a_diamond_cut_at_the_corner():
    diamond = np.array([[0.0, -5], [5, 0], [0, 5], [-5, 0]])
    quarter = polygons.clipped(diamond, FRAME)
    assert polygons.area(quarter) == pytest.approx(12.5)
    assert polygons.enclosing(quarter).tolist() == [0, 0, 5, 5]


def test_nothing_left():
    far = SQUARE + 10  # touches in a corner only
    assert polygons.area(polygons.clipped(far, FRAME)) == 0
    assert len(polygons.clipped(SQUARE + 11, FRAME)) == 0
    assert polygons.without(SQUARE, (-1, -1, 11, 11)) == []
    assert polygons.without(polygons.clipped(SQUARE + 11, FRAME), FRAME) == []


def test_a_hole_in_the_middle_leaves_four_pieces():
    pieces = polygons.without(SQUARE, (3, 4, 5, 7))
    assert len(pieces) == 4
    assert sum(map(polygons.area, pieces)) == pytest.approx(94)
    assert polygons.without(SQUARE, (20, 20, 30, 30))[0] is SQUARE


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.lists(st.floats(-12, 12), min_size=2, max_size=2),
    st.floats(1, 12),
)
def test_areas_agree_with_counting_points(numbers, corner, side):
    matrix = np.array(numbers).reshape(2, 3)
    if abs(np.linalg.det(matrix[:, :2])) < 0.1:
        return
    shape = polygons.moved(polygons.corners((-2, -1, 3, 2)), matrix)
    x0, y0 = corner
    x1, y1 = x0 + side, y0 + side
    size = polygons.area(shape)
    assert size == pytest.approx(15 * abs(np.linalg.det(matrix[:, :2])))
    counted = share_inside(
        shape, lambda x, y: (x > x0) & (x < x1) & (y > y0) & (y < y1)
    )
    inside = polygons.area(polygons.clipped(shape, (x0, y0, x1, y1)))
    low, high = shape.min(axis=0), shape.max(axis=0)
    tolerance = 0.02 * float(np.prod(high - low)) + 1e-6
    assert inside == pytest.approx(counted, abs=tolerance)
    rest = sum(map(polygons.area, polygons.without(shape, (x0, y0, x1, y1))))
    assert rest + inside == pytest.approx(size)
