from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.training.monitor.grids import MAX_PIXELS, error_grid, view_grid


def test_views_stand_beside_each_other_in_order() -> None:
    weak = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    strong = np.zeros_like(weak)
    for index in range(3):
        weak[index, ..., 0] = 50 + index
        strong[index, ..., 1] = 150 + index
    grid = view_grid(weak, strong, ["A 0.99\nkept", "B 0.5", "C 0.1"])
    for index in range(3):
        rows, columns = np.nonzero((grid == (50 + index, 0, 0)).all(axis=2))
        other_rows, other_columns = np.nonzero(
            (grid == (0, 150 + index, 0)).all(axis=2)
        )
        assert len(rows) == len(other_rows) == 160 * 160  # enlarged, square
        assert (rows.min(), rows.max()) == (other_rows.min(), other_rows.max())
        assert columns.max() < other_columns.min()


def test_grey_becomes_grey_rgb_and_captions_are_drawn() -> None:
    images = np.full((2, 64, 64, 1), 200, dtype=np.uint8)
    grid = error_grid(images, ["one", "two"])
    assert (grid.max(axis=2) - grid.min(axis=2)).max() == 0
    assert (grid < 100).any()
    assert (error_grid(images, ["one", "two"]) == grid).all()


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 70),
    height=st.sampled_from([1, 33, 64, 300]),
    width=st.sampled_from([1, 32, 64, 1000]),
    text=st.text(max_size=60),
)
def test_any_size_and_text_stays_below_a_megapixel(
    count: int, height: int, width: int, text: str
) -> None:
    images = np.zeros((count, height, width, 1), dtype=np.uint8)
    for grid in (
        view_grid(images, images, [text] * count),
        error_grid(images, [text] * count),
    ):
        assert grid.dtype == np.uint8
        assert grid.shape[2] == 3
        assert grid.shape[0] * grid.shape[1] <= MAX_PIXELS


def test_nothing_to_show_is_one_white_pixel_and_lengths_must_agree() -> None:
    none = np.zeros((0, 8, 8, 3), dtype=np.uint8)
    assert view_grid(none, none, []).shape == (1, 1, 3)
    assert error_grid(none, []).shape == (1, 1, 3)
    with pytest.raises(ValueError, match="differ"):
        error_grid(none, ["one"])
    with pytest.raises(ValueError, match="differ"):
        view_grid(none, none[:0], ["one"])
