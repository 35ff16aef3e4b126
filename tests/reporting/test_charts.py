"""Charts: points where they belong, round ticks, gaps."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uda.reporting.charts import HEIGHT, WIDTH, Line, chart, ticks


def draw(*lines, **more):
    return chart("t", lines, x_label="x", y_label="y", alt="a", **more)


def test_points_are_placed_by_proportion():
    found = draw(
        Line("a", [(0, 0), (1, 1), (0.5, 0.25)]), x_range=(0, 1), y_range=(0, 1)
    )
    box = found.left, found.bottom, found.right, found.top
    points = [tuple(map(float, p.split(","))) for p in found.lines[0].paths[0].split()]
    assert points[0] == box[:2]
    assert points[1] == box[2:]
    assert points[2] == ((box[0] + box[2]) / 2, box[1] - (box[1] - box[3]) / 4)


def test_a_value_that_is_missing_breaks_the_curve():
    found = draw(Line("a", [(0, 1), (1, math.nan), (2, 1), (3, 2), (4, math.inf)]))
    assert [len(path.split()) for path in found.lines[0].paths] == [1, 2]


def test_a_reference_line_takes_no_colour():
    found = draw(Line("r", [(0, 0)], ideal=True), *(Line(str(n)) for n in range(9)))
    assert [line.number for line in found.lines[1:]] == [*range(8), 0]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, width):
    high = low + width
    if high <= low:
        return
    found = ticks(low, high)
    assert len(found) <= 8
    steps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert len(steps) <= 1 or max(steps) - min(steps) < 1e-6 * max(steps) + 1e-8
    slack = 1e-6 * max(width, abs(low))
    assert all(low - slack <= tick <= high + slack for tick in found)


@pytest.mark.parametrize("points", [[], [(3, 0)], [(0, 5), (9, 5)], [(0, -2), (1, 7)]])
def test_everything_stays_inside(points):
    found = draw(Line("a", points, points))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in found.lines[0].marks)
    assert all(found.top - 1 <= tick.at <= found.bottom + 1 for tick in found.y_ticks)
