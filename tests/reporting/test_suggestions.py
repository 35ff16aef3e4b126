"""The contact sheet: a block per reason, the rows of the list as numbers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from uda.data.preprocessing import Preprocessing
from uda.data.records import Record
from uda.evaluation.suggesting import Suggestion
from uda.reporting import suggestions as module
from uda.reporting.suggestions import save_suggestions


def entry(folder, number, kind):
    name = f"{number}.png"
    Image.fromarray(np.full((10, 20), 40 * number, np.uint8)).save(folder / name)
    other = None if kind == "novel" else ("Scratch", 0.4)
    return Suggestion(
        Record(f"@0/{name}", folder, prefix="@0/"),
        kind, "why", 0.9, 0.1, 1.5, "Rust", 0.6, other,
    )  # fmt: skip


def test_each_reason_has_its_block_and_each_image_its_row(tmp_path, monkeypatch):
    drawn = {}
    real = module.draw_sheet

    def spy(blocks, **words):
        drawn["blocks"] = blocks
        return real(blocks, **words)

    monkeypatch.setattr(module, "draw_sheet", spy)
    kinds = ("unsure", "novel", "unsure")
    chosen = [entry(tmp_path, i, kind) for i, kind in enumerate(kinds, start=1)]
    how = Preprocessing((16, 32), 1, "letterbox", None, (0.5,), (0.2,))
    save_suggestions(tmp_path / "s.png", chosen, how, title="What next")
    first, second = drawn["blocks"]
    assert (first.title, second.title) == ("Unsure: 2", "New: 1")
    captions = [tile.lines for tile in first.rows[0].tiles]
    assert captions[0] == ("2  1.png", "Rust 0.60", "Scratch 0.40")
    assert captions[1][0] == "4  3.png"
    tile = second.rows[0].tiles[0]
    assert tile.lines == ("3  2.png", "Rust 0.60", "1.5 times")
    assert tile.image.shape == (56, 112, 1)
    assert (tile.image == 80).all()
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.mode == "RGB"


def test_many_images_fill_rows_of_the_same_length(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COLUMNS", 2)
    rows = module._rows([object(), object(), object()])
    assert [len(row.tiles) for row in rows] == [2, 2]
    assert rows[1].tiles[1] is None
