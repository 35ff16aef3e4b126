"""Surfaces: defects leave the mark they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from uda.data.surfaces import DEFECTS, MARGIN, draw_part, photograph
from uda.rng import generator

SIZE = 64


def difference(label: str, part: int) -> np.ndarray:
    """What the defect changed: the same part drawn with and without it."""
    good = draw_part(generator(0, "t", part), "Good", SIZE)
    return draw_part(generator(0, "t", part), label, SIZE) - good


@pytest.mark.parametrize("label", sorted(DEFECTS))
def test_a_part_is_a_pure_function_of_its_generator(label):
    one = draw_part(generator(3, "t", 1), label, SIZE)
    np.testing.assert_array_equal(one, draw_part(generator(3, "t", 1), label, SIZE))
    assert one.shape == (SIZE + 2 * MARGIN, SIZE + 2 * MARGIN, 3)


@pytest.mark.parametrize("part", range(8))
def test_scratches_are_thin_and_rust_is_brown(part):
    assert (difference("Good", part) == 0).all()
    scratch = np.abs(difference("Scratch", part)).max(axis=2)
    assert scratch.max() > 0.03
    assert (scratch > 0.03).mean() < 0.12
    rust = difference("Rust", part)
    hurt = np.abs(rust).max(axis=2) > 0.05
    red, _, blue = rust[hurt].mean(axis=0)
    assert red > blue + 0.05
    strokes = np.abs(difference("Grind_Marks", part)).max(axis=2)
    assert (strokes > 0.03).mean() > 0.02


def test_photos_of_one_part_have_their_own_light_and_place():
    part = draw_part(generator(0, "t", 0), "Rust", SIZE)
    photos = [photograph(generator(0, "p", k), part, SIZE) for k in range(4)]
    assert all(p.shape == (SIZE, SIZE, 3) and p.dtype == np.uint8 for p in photos)
    for k, photo in enumerate(photos[1:]):
        assert not np.array_equal(photo, photos[k])
    assert all(20 < photo.mean() < 235 for photo in photos)
