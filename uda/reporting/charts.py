"""Line charts and bars as numbers for inline SVG: no style in them, so themes apply.

A template draws them; coordinates are in SVG units with y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 10, 40
COLOURS = 8  # of the style sheet


@dataclass(frozen=True)
class Line:
    """A curve, or marks alone.

    Attributes:
        name: for the legend.
        points: (x, y) in the data's units; not finite ones break the curve.
        marks: points to be marked.
        whiskers: (x, low, high) vertical intervals.
        ideal: a thin reference line instead of a curve of its own colour.
    """

    name: str
    points: Sequence[Point] = ()
    marks: Sequence[Point] = ()
    whiskers: Sequence[tuple[float, float, float]] = ()
    ideal: bool = False


@dataclass(frozen=True)
class Tick:
    """A number beside an axis and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Drawn:
    """One line in SVG units; ``number`` names its colour, ``dash`` its pattern."""

    name: str
    paths: list[str]
    marks: list[Point]
    whiskers: list[tuple[float, float, float]]
    number: int
    dash: int
    ideal: bool


@dataclass(frozen=True)
class Chart:
    """What a template needs to draw one chart.

    Attributes:
        title: above it.
        alt: what is to be seen, for who cannot see it.
        x_label: with unit.
        y_label: with unit.
        lines: in SVG units.
        x_ticks: along the bottom.
        y_ticks: along the left side.
        left, right, top, bottom: sides of the plot in SVG units.
        note: below it.
    """

    title: str
    alt: str
    x_label: str
    y_label: str
    lines: list[Drawn]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    note: str = ""
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    alt: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    note: str = "",
) -> Chart:
    """Lay out a chart.

    Args:
        title: above it.
        lines: of which each has its colour and its dashes.
        x_label: with unit.
        y_label: with unit.
        alt: what is to be seen.
        x_range: of the axis; that of the finite points when None.
        y_range: the same; with 0 in it when None.
        note: below it.
    """
    points = [p for line in lines for p in (*line.points, *line.marks) if _finite(p)]
    xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
    x_span = _wide(*(x_range or (min(xs), max(xs))))
    y_span = _wide(*(y_range or (min(0.0, *ys), max(ys))))
    x_ticks = ticks(*x_span)
    y_ticks = ticks(*y_span)
    if y_range is None:  # end on a number
        y_span = (min(y_span[0], y_ticks[0]), max(y_span[1], y_ticks[-1]))

    def place(point: Point) -> Point:
        share_x = (point[0] - x_span[0]) / (x_span[1] - x_span[0])
        share_y = (point[1] - y_span[0]) / (y_span[1] - y_span[0])
        plot_x, plot_y = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        x, y = _LEFT + share_x * plot_x, HEIGHT - _BOTTOM - share_y * plot_y
        return round(x, 1), round(y, 1)

    colour = [not line.ideal for line in lines]
    drawn = [
        _drawn(line, sum(colour[:number]), place) for number, line in enumerate(lines)
    ]
    return Chart(
        title,
        alt,
        x_label,
        y_label,
        drawn,
        [Tick(place((v, y_span[0]))[0], _number(v)) for v in x_ticks],
        [Tick(place((x_span[0], v))[1], _number(v)) for v in y_ticks],
        note,
    )


def _drawn(line: Line, number: int, place: Callable[[Point], Point]) -> Drawn:
    pieces: list[list[Point]] = [[]]
    for point in line.points:
        if _finite(point):
            pieces[-1].append(place(point))
        elif pieces[-1]:
            pieces.append([])
    whiskers = [
        (place((x, low))[0], place((x, low))[1], place((x, high))[1])
        for x, low, high in line.whiskers
    ]
    return Drawn(
        line.name,
        [" ".join(f"{x:g},{y:g}" for x, y in piece) for piece in pieces if piece],
        [place(point) for point in line.marks if _finite(point)],
        whiskers,
        number % COLOURS,
        number % 4,
        line.ideal,
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers from low to high: 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Bar:
    """A share in 0..1 of one class, and what it is compared with.

    Attributes:
        name: of the class.
        value: the share.
        reference: another share, or None.
    """

    name: str
    value: float
    reference: float | None = None


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _wide(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: float) -> str:
    return f"{value:g}"
