"""A picture to check boxes with: the original and its copies in a row, boxes drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from uda.data.boxes.model import BoxedImage, Category
from uda.data.images import read_image
from uda.files import atomic_path

_TILE, _GAP, _TEXT = 220, 8, 18
_COLUMNS = 6
_INK, _PAPER = (32, 32, 32), (250, 250, 250)
# Told apart on grey and on each other, also with red-green blindness (Okabe, Ito).
_COLOURS = (
    (213, 94, 0), (0, 158, 115), (0, 114, 178), (204, 121, 167), (230, 159, 0),
    (86, 180, 233), (170, 160, 20),
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One tile: a file, its boxes, and the words below it."""

    file: Path
    image: BoxedImage
    caption: str


def write_box_sheet(
    path: Path, rows: Sequence[Sequence[Shown]], categories: Sequence[Category]
) -> None:
    """Write the sheet as PNG: one row per source image, a legend on top.

    Args:
        path: the PNG file.
        rows: the tiles; each row is cut after six.
        categories: the classes, for colours and legend.
    """
    rows = [row[:_COLUMNS] for row in rows if row]
    columns = max((len(row) for row in rows), default=1)
    width = columns * (_TILE + _GAP) + _GAP
    font = ImageFont.load_default(size=12)
    used = sorted({i for row in rows for tile in row for i in tile.image.labels})
    legend = _legend(used, categories, width, font)
    height = legend.height + len(rows) * (_TILE + _TEXT + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    sheet.paste(legend, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for line, row in enumerate(rows):
        top = legend.height + _GAP + line * (_TILE + _TEXT + _GAP)
        for column, tile in enumerate(row):
            left = _GAP + column * (_TILE + _GAP)
            picture = _drawn(tile)
            sheet.paste(picture, (left, top))
            draw.text((left, top + _TILE + 2), _short(tile.caption), _INK, font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _legend(
    used: Sequence[int],
    categories: Sequence[Category],
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> Image.Image:
    """Return the classes with their colours, in as many lines as they need."""
    line, places, x, y = _TEXT + 2, [], _GAP, 4
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    for label in used:
        text = _short(categories[label].name, 24)
        length = int(measure.textlength(text, font)) + 30
        if x + length > width and x > _GAP:
            x, y = _GAP, y + line
        places.append((x, y, text, colour_of(label)))
        x += length
    picture = Image.new("RGB", (width, y + line), _PAPER)
    draw = ImageDraw.Draw(picture)
    for left, top, text, colour in places:
        draw.rectangle((left, top + 3, left + 10, top + 13), colour)
        draw.text((left + 15, top), text, _INK, font)
    return picture


def colour_of(label: int) -> tuple[int, int, int]:
    """Return the colour of a class."""
    return _COLOURS[label % len(_COLOURS)]


def _drawn(tile: Shown) -> Image.Image:
    """Return the image fitted into a tile, with its boxes on top."""
    pixels = read_image(tile.file, channels=3)
    scale = _TILE / max(pixels.shape[:2])
    size = [max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0])]
    kind = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.NEAREST
    picture = Image.fromarray(pixels).resize((size[0], size[1]), kind)
    draw = ImageDraw.Draw(picture)
    for box, label in zip(tile.image.boxes.tolist(), tile.image.labels, strict=True):
        x0, y0, x1, y1 = (edge * scale for edge in box)
        # Drawn around the pixels that belong to the box, as far as the tile goes.
        edges = (max(0, round(x0) - 1), max(0, round(y0) - 1),
                 min(size[0] - 1, round(x1)), min(size[1] - 1, round(y1)))  # fmt: skip
        draw.rectangle(edges, outline=colour_of(label), width=2)
    return picture


def _short(text: str, longest: int = 34) -> str:
    text = text.encode("ascii", "replace").decode()
    return text if len(text) <= longest else "..." + text[3 - longest :]
