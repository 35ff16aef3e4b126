from __future__ import annotations

import numpy as np

from uda.evaluation.doubt import Doubt
from uda.reporting import doubts as module
from uda.reporting.doubts import draw_doubts


def test_each_image_is_on_the_sheet_once():
    colours = {"a/1.png": 10, "a/2.png": 20, "b/3.png": 30}
    doubts = [
        Doubt(path, path[0], "c", 0.1, 0.8, 0.7, 0.15, True, 1, 1) for path in colours
    ]
    asked = []

    def read(path):
        asked.append(path)
        return np.full((96, 96, 3), colours[path], np.uint8)

    pixels = np.asarray(draw_doubts(dict(enumerate(doubts, start=2)), read))
    assert sorted(asked) == sorted(colours)
    for colour in colours.values():
        assert (pixels == colour).all(axis=2).sum() == 96 * 96


def test_each_image_says_its_row_of_the_list(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "draw_sheet", lambda blocks, **_: seen.extend(blocks))
    doubts = {
        row: Doubt(path, path[0], "c", 0.1, 0.8, 0.7, 0.15, True, 1, 1)
        for row, path in {2: "a/1.png", 3: "b/3.png", 5: "a/2.png"}.items()
    }
    draw_doubts(doubts, lambda _: np.zeros((9, 9, 3), np.uint8))
    told = [
        tile.lines[:2] for b in seen for row in b.rows for tile in row.tiles if tile
    ]
    assert told == [("row 2", "1.png"), ("row 5", "2.png"), ("row 3", "3.png")]
