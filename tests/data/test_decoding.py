"""Rows of a pool: gaps closed, statistics exact, bars painted."""

from __future__ import annotations

import numpy as np

from uda.data.decoding import close_gaps, paint_bars, statistics


def test_gaps_are_closed_in_order():
    rows = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).copy()
    assert close_gaps(rows, ["", "bad", "", "", "bad", ""]) == 4
    assert rows[:4].ravel().tolist() == [0, 2, 3, 5]


def test_statistics_equal_numpy_over_the_boxes():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (9, 7, 5, 3), dtype=np.uint8)
    boxes = [(k % 3, 7 - k % 2, k % 2, 5) for k in range(9)]
    mean, std = statistics(rows, boxes)
    parts = [
        row[y0:y1, x0:x1].reshape(-1, 3)
        for row, (y0, y1, x0, x1) in zip(rows, boxes, strict=True)
    ]
    values = np.concatenate(parts) / 255
    np.testing.assert_allclose(mean, values.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(std, values.std(axis=0), atol=1e-12)


def test_statistics_read_two_thousand_rows_at_most():
    rows = np.zeros((5000, 1, 1, 1), dtype=np.uint8)
    rows[1:-1:2] = 255
    mean, _ = statistics(rows, [(0, 1, 0, 1)] * 5000)
    assert 0.4 < mean[0] < 0.6
    assert round(mean[0] * 2000, 6) == round(mean[0] * 2000)


def test_bars_and_nothing_else_are_painted():
    rows = np.full((2, 4, 4, 3), 9, dtype=np.uint8)
    paint_bars(rows, [(1, 3, 0, 4), (0, 4, 2, 3)], (1, 2, 3))
    assert (rows[0, 1:3] == 9).all()
    assert (rows[0, [0, 3]] == (1, 2, 3)).all()
    assert (rows[1, :, 2] == 9).all()
    assert (rows[1][:, [0, 1, 3]] == (1, 2, 3)).all()
