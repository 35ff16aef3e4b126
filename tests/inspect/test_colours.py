"""Colour names in the order red, green, blue; classes told by hue, greys never."""

from __future__ import annotations

import pytest

from uda.inspect.colours import hue_of, name_of, told_by_hue
from uda.inspect.pixels import Color


@pytest.mark.parametrize(
    ("red", "green", "blue", "name"),
    [
        (200, 30, 10, "red"),
        (10, 30, 200, "blue"),  # not red: the order is red, green, blue
        (140, 80, 40, "brown"),
        (250, 150, 20, "orange"),
        (30, 160, 50, "green"),
        (10, 60, 20, "dark green"),
        (170, 200, 250, "light blue"),
        (128, 128, 130, "grey"),
        (60, 62, 60, "dark grey"),
        (5, 5, 4, "black"),
        (200, 200, 205, "light grey"),
        (250, 250, 250, "white"),
        (250, 10, 40, "red"),
    ],
)
def test_names(red, green, blue, name):
    assert name_of(Color(red, green, blue, 1.0)) == name


def test_hues_are_degrees_of_the_circle():
    assert hue_of(Color(255, 0, 0, 1)) == 0
    assert hue_of(Color(0, 255, 0, 1)) == pytest.approx(120)
    assert hue_of(Color(0, 0, 255, 1)) == pytest.approx(240)
    assert hue_of(Color(90, 90, 95, 1)) is None


def test_a_class_with_a_colour_of_its_own_is_found():
    grey, brown = Color(120, 120, 122, 0.8), Color(140, 80, 40, 0.2)
    colors = {"Good": [grey], "Rust": [grey, brown], "Scratch": [grey]}
    assert told_by_hue(colors) == [("Rust", "brown", ("Good", "Scratch"))]


def test_no_alarm_for_greys_shared_hues_and_small_spots():
    grey, blue = Color(120, 120, 122, 0.9), Color(40, 60, 160, 0.5)
    assert told_by_hue({"a": [grey], "b": [Color(60, 60, 60, 1.0)]}) == []
    near = Color(60, 60, 170, 0.05)
    assert told_by_hue({"a": [grey, blue], "b": [grey, near]}) == []
    spot = Color(200, 20, 20, 0.06)
    assert told_by_hue({"a": [grey, spot], "b": [grey]}) == []
    # red lies on both ends of the circle
    ends = {"a": [Color(220, 20, 40, 0.5)], "b": [Color(220, 40, 20, 0.5)]}
    assert told_by_hue(ends) == []
