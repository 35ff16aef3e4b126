"""Normalised corners: one CSV file, a row is path, label, x0, y0, x1, y1 (0..1).

An image without boxes has one row with its path alone.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from uda.data.boxes.model import (
    BoxSet,
    Category,
    Problems,
    RawBox,
    RawImage,
    ReadRules,
    assemble,
    each_box,
    unscaled,
)
from uda.data.boxes.side import Side
from uda.data.images import BadImage, probe
from uda.data.table import read_table, shown
from uda.errors import DataError
from uda.files import guarded, inside

FILE = "boxes.csv"
_EDGES = ("x0", "y0", "x1", "y1")
# A box outside of its image is a slip; this far outside, its numbers are no shares.
_PIXELS = 2.0
_COLUMNS = ("path", "label", *_EDGES)


def read(path: Path, rules: ReadRules, side: Side | None = None) -> BoxSet:
    """Read the CSV file.

    Args:
        path: the file.
        rules: where the images lie.
        side: of an earlier conversion.

    Raises:
        DataError: broken CSV, a cell that is no number, or any fault of a box.
    """
    problems = Problems()
    rows: dict[str, list[RawBox]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for line, cells in read_table(path, _COLUMNS).rows:
        where = f"{path}, line {line}"
        name = _plain(cells["path"])
        if name not in sizes:
            rows[name], sizes[name] = [], _size(name, rules)
        numbers = [cells[key].strip() for key in _EDGES]
        if not any(numbers) and not cells["label"].strip():
            continue
        values = _floats(numbers)
        if values is None:
            problems.add(where, _no_numbers(numbers))
        elif any(abs(value) > _PIXELS for value in values):
            problems.add(
                where,
                f"corners are shares of the image's sides, 0 to 1, and {numbers} look "
                "like pixels: divide x by the width and y by the height",
            )
        elif not cells["label"].strip():
            problems.add(where, "a box needs a label")
        else:
            sides = (*sizes[name], *sizes[name])
            edges = [unscaled(v, side) for v, side in zip(values, sides, strict=True)]
            rows[name].append(
                RawBox(f"{where} ({shown(name)})", edges, _plain(cells["label"]))
            )
    problems.check()
    if side is not None and side.categories:
        categories = side.categories
    else:
        names = sorted({box.label for boxes in rows.values() for box in boxes})
        categories = tuple(Category(name) for name in names)
    raw = [RawImage(str(path), name, boxes) for name, boxes in rows.items()]
    return assemble(raw, categories, rules)


def _size(name: str, rules: ReadRules) -> tuple[int, int]:
    """Return (width, height); any for a missing image: ``assemble`` tells of it."""
    try:
        header = probe(inside(rules.images, name))
    except (BadImage, DataError):
        return 1, 1
    return header.width, header.height


def _floats(cells: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _no_numbers(cells: list[str]) -> str:
    text = f"{', '.join(_EDGES)} must be numbers: {cells}"
    if _floats([cell.replace(",", ".") for cell in cells]) is not None:
        text += "; write a point for the decimal comma, as in 0.5"
    return text


def _plain(cell: str) -> str:
    """Undo what ``guarded`` put before a cell."""
    return cell[1:] if cell.startswith("'") and guarded(cell[1:]) == cell else cell


def encode(boxes: BoxSet) -> dict[str, bytes]:
    """Return the CSV file, relative path -> content; numbers with all digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for image in boxes.images:
        path = guarded(image.path)
        if not len(image.boxes):
            writer.writerow([path, "", "", "", "", ""])
        for box, label, _ in each_box(image, boxes.categories):
            x0, y0, x1, y1 = box.tolist()
            shares = [
                x0 / image.width, y0 / image.height,
                x1 / image.width, y1 / image.height,
            ]  # fmt: skip
            writer.writerow([path, guarded(label), *map(repr, shares)])
    return {FILE: buffer.getvalue().encode("utf-8", "surrogateescape")}
