"""Contact sheets: exact pixels at whole factors, and names that cannot break them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from uda.reporting.sheets import (
    Block,
    Cell,
    Row,
    Tile,
    draw_sheet,
    fitting,
    save_sheet,
)


def image(height=20, width=30, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def places(sheet, pixels, factor):
    """Corners at which an enlarged image is found on a sheet, by brute force."""
    page = np.asarray(sheet)
    large = np.kron(pixels, np.ones((factor, factor, 1), dtype=np.uint8))
    large = np.broadcast_to(large, (*large.shape[:2], 3))
    height, width = large.shape[:2]
    corners = np.argwhere((page == large[0, 0]).all(axis=2))
    return [
        (int(y), int(x))
        for y, x in corners
        if np.array_equal(page[y : y + height, x : x + width], large)
    ]


@pytest.mark.parametrize(
    ("size", "factor"), [((20, 30), 4), ((64, 64), 2), ((9, 5), 14), ((200, 20), 1)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_exact_and_enlarged_by_whole_factors(size, factor, channels):
    images = [image(*size, channels, seed=i) for i in range(3)]
    rows = (Row(tuple(Tile(i, ("caption",)) for i in images), "Rust", "a.png"),)
    sheet = draw_sheet([Block("views", rows=rows)], title="sheet")
    corners = [places(sheet, pixels, factor) for pixels in images]
    assert all(len(found) == 1 for found in corners)
    tops, lefts = zip(*(found[0] for found in corners), strict=True)
    assert len(set(tops)) == 1
    assert list(lefts) == sorted(lefts)


def test_cells_flow_and_none_is_lost():
    images = [image(64, 64, seed=i) for i in range(11)]
    runs = ((0, 3), (3, 6), (6, 7), (7, 10), (10, 11))
    cells = tuple(Cell(f"op {a}", tuple(map(Tile, images[a:b]))) for a, b in runs)
    sheet = draw_sheet([Block("ops", cells=cells)], title="sheet")
    corners = [places(sheet, pixels, 2)[0] for pixels in images]
    assert len(set(corners)) == 11
    for a, b in runs:  # a cell is never broken over two lines
        assert len({y for y, _ in corners[a:b]}) == 1


def test_an_empty_place_stays_empty():
    pixels = image()
    rows = (Row((None, Tile(pixels))), Row((Tile(pixels), None)))
    sheet = draw_sheet([Block("views", rows=rows, headings=("a", "b"))], title="t")
    (y1, x1), (y2, x2) = places(sheet, pixels, 4)
    assert y1 < y2
    assert x1 > x2


def test_boxes_are_drawn_on_the_enlarged_pixels_and_clipped_ones_do_not_fail():
    grey = np.full((32, 32, 1), 128, dtype=np.uint8)
    boxes = ((8.0, 4.0, 24.0, 16.0), (5.0, 5.0, 5.0, 9.0))
    sheet = draw_sheet([Block("b", rows=(Row((Tile(grey, boxes=boxes),)),))], title="")
    page = np.asarray(sheet).astype(int)
    line = np.argwhere((page == (0xFF, 0xB0, 0)).all(axis=2))
    (y0, x0), (y1, x1) = line.min(axis=0), line.max(axis=0)
    assert (x1 - x0 + 1, y1 - y0 + 1) == (4 * 16 + 4, 4 * 12 + 4)  # two px around
    assert (page[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1] == 128).all()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Rust\nnew line\x00\x1b[31m",
        "\u202eright to left \u0627\u0644\u0639",
        "字" * 300,
        "a" * 5000,
        "broken \udcff bytes",
        "\U0001f600 [bold]",
    ],
)
def test_no_name_breaks_the_sheet(name):
    font = ImageFont.load_default(size=11)
    assert isinstance(font, ImageFont.FreeTypeFont)
    line = fitting(name, font, 100)
    assert font.getlength(line) <= 100
    assert line.isprintable()
    row = Row((Tile(image(), (name, name)),), name, name)
    blocks = [Block(name, name, rows=(row,), headings=(name,))]
    sheet = draw_sheet(blocks, title=name, detail=name)
    plain = draw_sheet(
        [Block("x", "x", rows=(Row((Tile(image(), ("x", "x")),), "x", "x"),))],
        title="x",
        detail="x",
    )
    assert sheet.width == plain.width


def test_a_sheet_is_written_whole(tmp_path):
    sheet = draw_sheet([Block("b", rows=(Row((Tile(image()),)),))], title="t")
    save_sheet(sheet, tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as read:
        assert np.array_equal(np.asarray(read), np.asarray(sheet))
