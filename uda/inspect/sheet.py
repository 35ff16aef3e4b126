"""A contact sheet: pairs that show the same thing, side by side, relation named."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from uda.data.correlation import turned
from uda.data.duplicates import RELATIONS, Groups, Pair
from uda.data.images import BadImage, read_image
from uda.data.preprocessing import detect_value_range
from uda.data.records import Record
from uda.files import atomic_path

_TILE = 168
_GAP = 6
_TEXT = 40
_COLUMNS = 3
_PER_RELATION = 6
_INK, _PAPER, _RULE = (32, 32, 32), (250, 250, 250), (150, 150, 150)
_HEADINGS = {
    "exact": "the same file twice",
    "near": "near duplicate",
    "exposure": "other exposure",
    "shifted": "shifted crop",
    "turned": "turned or mirrored",
}


def choose_examples(groups: Groups, per_relation: int = _PER_RELATION) -> list[Pair]:
    """Pick examples of each relation, spread from the surest to the least sure.

    The least sure are the ones worth a look; each group appears once per relation
    while others are left.
    """
    chosen = []
    for relation in RELATIONS:
        pairs = [pair for pair in groups.pairs if pair.relation == relation]
        seen: set[int] = set()
        fresh = []
        for pair in reversed(pairs):  # the least sure first
            group = int(groups.ids[pair.first])
            if group not in seen:
                seen.add(group)
                fresh.append(pair)
        spread = np.linspace(0, len(fresh) - 1, min(per_relation, len(fresh)))
        chosen += [fresh[round(i)] for i in spread[::-1]]
    return chosen


def write_sheet(path: Path, groups: Groups, records: Sequence[Record]) -> int:
    """Write the contact sheet as PNG; with no pair, nothing.

    The first image of a turned pair is shown as it is laid on the second.

    Returns:
        The number of pairs shown.
    """
    pairs = choose_examples(groups)
    if not pairs:
        return 0
    span = detect_value_range([record.file for record in records])
    rows = -(-len(pairs) // _COLUMNS)
    width = _COLUMNS * (2 * _TILE + 3 * _GAP)
    height = rows * (_TILE + _TEXT + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for number, pair in enumerate(pairs):
        left = number % _COLUMNS * (2 * _TILE + 3 * _GAP) + _GAP
        top = number // _COLUMNS * (_TILE + _TEXT + _GAP) + _GAP
        shown = (pair, [records[i].file for i in (pair.first, pair.second)])
        _draw_pair(sheet, (left, top), *shown, span)
        heading = f"{_HEADINGS[pair.relation]}: {_detail(pair)}"
        names = [_short(records[i].path) for i in (pair.first, pair.second)]
        below = top + _TILE + 2
        draw.text((left, below), _fitting(draw, heading, font), _INK, font)
        for column, name in enumerate(names):
            at = (left + column * (_TILE + _GAP), below + 14)
            draw.text(at, name, _RULE, font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    return len(pairs)


def _detail(pair: Pair) -> str:
    if pair.relation == "exact":
        return "identical content"
    words = pair.describe().replace(" (correlation ", ", r = ").rstrip(")")
    for known in ("shifted crop", "same view, other exposure", "near duplicate"):
        words = words.removeprefix(f"{known}, ")  # the heading says it
    return words


def _fitting(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> str:
    while draw.textlength(text, font) > 2 * _TILE and len(text) > 4:
        text = text[:-2].rstrip("…") + "…"
    return text


def _short(path: str, longest: int = 26) -> str:
    # What the font has; a Mac's names have letter and accent apart.
    plain = unicodedata.normalize("NFC", path)
    name = plain.encode("latin-1", "replace").decode("latin-1")
    return name if len(name) <= longest else "…" + name[1 - longest :]


def _draw_pair(
    sheet: Image.Image,
    corner: tuple[int, int],
    pair: Pair,
    files: Sequence[Path],
    span: tuple[float, float] | None,
) -> None:
    turns = (pair.turn, 0)
    for column, (file, turn) in enumerate(zip(files, turns, strict=True)):
        try:
            image = read_image(file, channels=3, value_range=span)
        except (BadImage, OSError):
            continue
        tile = Image.fromarray(np.ascontiguousarray(turned(image, turn)))
        tile = _enlarged(tile)
        left = corner[0] + column * (_TILE + _GAP) + (_TILE - tile.width) // 2
        sheet.paste(tile, (left, corner[1] + (_TILE - tile.height) // 2))


def _enlarged(image: Image.Image) -> Image.Image:
    scale = _TILE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)
