"""Draws contact sheets: tiles of exact pixels, enlarged by whole factors, with words.

Knows nothing of policies: blocks of rows of tiles in, one picture out.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from uda.data.table import shown
from uda.files import atomic_path

UInt8 = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_WANTED = 128  # side of an enlarged tile, about
_NARROWEST = 116  # room for a caption below a small tile
_GAP, _MARGIN, _LINE = 10, 20, 15
_LABEL, _BETWEEN = 132, 24
_PAPER, _INK, _SOFT, _RULE = "#fafaf8", "#1c2126", "#69727b", "#d9dcdf"
_BOX_OUTER, _BOX_INNER = "#101010", "#ffb000"
_SMALL, _NORMAL, _LARGE = 11, 13, 17
_MARK = ("Software", "uda")  # in a PNG of ours
_UNKNOWN = "\U0010ffff"  # has no glyph in any font


@dataclass(frozen=True)
class Tile:
    """One image on the sheet.

    Attributes:
        image: (H, W, K) uint8, K in {1, 3}; all tiles of a sheet have one shape.
        lines: caption below, a string per line; each is cut to the tile's width.
        boxes: (x0, y0, x1, y1) in pixels of the image, drawn over it.
    """

    image: UInt8
    lines: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Row:
    """Tiles beside each other.

    Attributes:
        tiles: None leaves the place empty.
        label: in bold, left of the tiles; with none in the whole block, the tiles
            begin at the margin.
        detail: below the label, soft.
    """

    tiles: tuple[Tile | None, ...]
    label: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    """A named run of tiles in a block that flows like text."""

    name: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Block:
    """A titled part of the sheet: rows under column headings, or flowing cells.

    Attributes:
        title: a heading; detail: one line below it.
        rows: all with the same number of places.
        headings: above the columns; an empty one prolongs the heading before it.
        cells: laid out row by row, none broken.
    """

    title: str
    detail: str = ""
    rows: tuple[Row, ...] = ()
    headings: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()


def draw_sheet(blocks: Sequence[Block], *, title: str, detail: str = "") -> Image.Image:
    """Draw a contact sheet.

    Args:
        blocks: from top to bottom; at least one tile in all.
        title: of the sheet.
        detail: one line below the title.

    Returns:
        An RGB picture.
    """
    page = _Page(blocks)
    for final in (False, True):  # once to measure, once to draw
        page.start(final)
        page.write(title, size=_LARGE, bold=True)
        if detail:
            page.write(detail, soft=True)
        for block in blocks:
            _draw_block(page, block)
    return page.sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a picture as PNG, whole or not at all; it says that it is a sheet."""
    mark = PngInfo()
    mark.add_text(*_MARK)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True, pnginfo=mark)


def is_sheet(path: Path) -> bool:
    """Tell whether a file is a picture that `save_sheet` wrote."""
    try:
        with Image.open(path) as image:
            return image.info.get(_MARK[0]) == _MARK[1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


class _Page:
    """A picture being written from top to bottom; ``top`` is where one writes next."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        rows = [row.tiles for block in blocks for row in block.rows]
        cells = [cell.tiles for block in blocks for cell in block.cells]
        shapes = [t.image.shape for tiles in (*rows, *cells) for t in tiles if t]
        self.height, self.width = int(shapes[0][0]), int(shapes[0][1])
        self.scale = max(1, _WANTED // max(self.height, self.width))
        self.step = max(_NARROWEST, self.scale * self.width) + _GAP
        lengths = [
            len(row.tiles) * self.step + _indent(block)
            for block in blocks
            for row in block.rows
        ]
        lengths += [len(tiles) * self.step for tiles in cells]
        wide = 6 * self.step + _BETWEEN if cells else 0  # two cells of three, or more
        self.inner = max(*lengths, wide, 4 * _NARROWEST)
        self.top, self.final = _MARGIN, False
        self.sheet = Image.new("RGB", (1, 1))
        self.draw = ImageDraw.Draw(self.sheet)

    def start(self, final: bool) -> None:
        """Begin at the top, on paper that is long enough when it is final."""
        if final:
            size = (self.inner + 2 * _MARGIN - _GAP, self.top + _MARGIN - _GAP)
            self.sheet = Image.new("RGB", size, _PAPER)
        self.draw = ImageDraw.Draw(self.sheet)
        self.top, self.final = _MARGIN, final

    def write(self, line: str, *, size: int = _NORMAL, **style: bool) -> None:
        """Write a line over the whole width and go on below it."""
        self.text((_MARGIN, self.top), line, self.inner - _GAP, size=size, **style)
        self.top += size + 9

    def text(
        self,
        at: tuple[int, int],
        line: str,
        width: int,
        *,
        size: int = _SMALL,
        bold: bool = False,
        soft: bool = False,
    ) -> None:
        """Write a line, cut where it would be too wide."""
        font = _font(size, bold)
        color = _SOFT if soft else _INK
        self.draw.text(at, fitting(line, font, width), color, font)

    def tile(self, tile: Tile, left: int) -> None:
        """Draw a tile with its caption at the current height."""
        image = tile.image
        if image.shape[2] == 1:
            image = image.repeat(3, axis=2)
        large = image.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        self.sheet.paste(Image.fromarray(np.ascontiguousarray(large)), (left, self.top))
        for box in tile.boxes:
            _draw_box(self.draw, box, (left, self.top), self.scale)
        below = self.top + self.scale * self.height + 3
        for number, line in enumerate(tile.lines):
            at = (left, below + number * _LINE)
            self.text(at, line, self.step - _GAP, soft=True)

    def drop(self, tiles: Sequence[Tile | None]) -> None:
        """Go below a row of tiles and the longest of their captions."""
        lines = max((len(tile.lines) for tile in tiles if tile), default=0)
        self.top += self.scale * self.height + 3 + lines * _LINE + _GAP


def _draw_block(page: _Page, block: Block) -> None:
    page.top += 4
    right = _MARGIN + page.inner - _GAP
    page.draw.line((_MARGIN, page.top, right, page.top), _RULE)
    page.top += 12
    page.write(block.title, bold=True)
    if block.detail:
        page.write(block.detail, size=_SMALL, soft=True)
    if block.rows:
        _draw_rows(page, block)
    if block.cells:
        _draw_cells(page, block.cells)


def _indent(block: Block) -> int:
    return _LABEL if any(row.label or row.detail for row in block.rows) else 0


def _draw_rows(page: _Page, block: Block) -> None:
    start = _MARGIN + _indent(block)
    for column, heading in enumerate(block.headings):
        if heading:
            empty = [not h for h in block.headings[column + 1 :]] + [False]
            width = page.step * (1 + empty.index(False)) - _GAP
            at = (start + column * page.step, page.top)
            page.text(at, heading, width, bold=True)
    page.top += 19 if block.headings else 0
    for row in block.rows:
        label = (_MARGIN, page.top + 2)
        page.text(label, row.label, _LABEL - _GAP, size=_NORMAL, bold=True)
        under = (_MARGIN, page.top + 21)
        page.text(under, row.detail, _LABEL - _GAP, soft=True)
        for column, tile in enumerate(row.tiles):
            if tile and page.final:
                page.tile(tile, start + column * page.step)
        page.drop(row.tiles)


def _draw_cells(page: _Page, cells: Sequence[Cell]) -> None:
    line: list[Cell] = []
    for cell in cells:
        if line and _length(page, [*line, cell]) > page.inner:
            _draw_line(page, line)
            line = []
        line.append(cell)
    _draw_line(page, line)


def _length(page: _Page, cells: Sequence[Cell]) -> int:
    tiles = sum(len(cell.tiles) for cell in cells)
    return tiles * page.step + (len(cells) - 1) * _BETWEEN


def _draw_line(page: _Page, cells: Sequence[Cell]) -> None:
    left, under = _MARGIN, page.top + 18
    for cell in cells:
        width = len(cell.tiles) * page.step - _GAP
        page.text((left, page.top), cell.name, width, bold=True)
        left += len(cell.tiles) * page.step + _BETWEEN
    left, page.top = _MARGIN, under
    for cell in cells:
        for tile in cell.tiles:
            if page.final:
                page.tile(tile, left)
            left += page.step
        left += _BETWEEN
    page.drop([tile for cell in cells for tile in cell.tiles])


def _draw_box(
    draw: ImageDraw.ImageDraw, box: Box, corner: tuple[int, int], scale: int
) -> None:
    """Outline a box in a light colour between dark ones: seen on any ground."""
    x0, y0 = (corner[i] + round(scale * box[i]) for i in (0, 1))
    x1, y1 = (corner[i] + round(scale * box[i + 2]) - 1 for i in (0, 1))
    if x1 < x0 or y1 < y0:
        return
    # Around what the box holds, not over it: small defects must stay visible.
    draw.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), outline=_BOX_OUTER)
    draw.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=_BOX_INNER)
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_BOX_OUTER)


def fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return a text that the font can draw in one line, cut to a width in pixels.

    Control characters and broken bytes are escaped, unknown signs become ``?``.
    """
    line = "".join(c if _drawable(c) else "?" for c in shown(text)[:500])
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


@functools.cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # The basic layout draws sign by sign: no name can reorder the line it is in.
    return ImageFont.truetype(
        str(folder / name), size, layout_engine=ImageFont.Layout.BASIC
    )


@functools.cache
def _drawable(sign: str) -> bool:
    """Tell whether the font has a sign: it differs from what stands for none."""
    font = _font(_SMALL, False)
    return bytes(font.getmask(sign)) != bytes(font.getmask(_UNKNOWN)) or sign == " "
