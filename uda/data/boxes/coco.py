"""COCO object detection: one JSON file; a box is x, y, width, height in pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uda.data.boxes.model import (
    BoxSet,
    Category,
    Extra,
    Problems,
    RawBox,
    RawImage,
    ReadRules,
    assemble,
    each_box,
    number,
)
from uda.data.table import shown
from uda.errors import DataError
from uda.files import read_json

FILE = "annotations.json"
_SHOWN = 8
_BOX_KEYS = ("bbox", "image_id", "category_id")
_IMAGE_KEYS = ("file_name", "width", "height")
_LISTS = ("images", "annotations", "categories")


def read(path: Path, rules: ReadRules) -> BoxSet:
    """Read a COCO file; what the model has no field for goes to the extras.

    Raises:
        DataError: broken JSON, missing or repeated ids, or any fault of a box.
    """
    try:
        content = read_json(path)
    except DataError as error:
        raise DataError(
            f"{error}; is the file cut short or edited by hand? Export or copy it again"
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}: is nested too deeply to be COCO") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: COCO is one JSON object, not a list")
    lists = {key: _entries(path, content, key) for key in _LISTS}
    problems = Problems()
    names = _by_id(path, lists["categories"], "category", problems)
    images = _by_id(path, lists["images"], "image", problems)
    _by_id(path, [a for a in lists["annotations"] if "id" in a], "annotation", problems)
    problems.check()
    boxes = _boxes(path, lists["annotations"], (images, names), problems)
    raw = [_image(path, key, entry, problems) for key, entry in images.items()]
    for key, entry in names.items():
        if "name" not in entry:
            problems.add(f"{path}, category id {key}", "has no name")
    problems.check()
    categories = [
        Category(str(entry["name"]), {k: v for k, v in entry.items() if k != "name"})
        for entry in names.values()
    ]
    return assemble(
        (
            RawImage(
                where, _posix(rules.images, entry["file_name"]), boxes[key], size, extra
            )
            for key, where, entry, size, extra in raw
        ),
        categories,
        rules,
        extra={key: value for key, value in content.items() if key not in _LISTS},
    )


def _entries(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = content.get(key)
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise DataError(
            f"{path}: needs a list of objects {key!r}; is it COCO object detection?"
        )
    return value


def _by_id(
    path: Path, entries: list[dict[str, Any]], kind: str, problems: Problems
) -> dict[Any, dict[str, Any]]:
    """Index entries by id; a missing or repeated id is noted."""
    found: dict[Any, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        key = entry.get("id")
        if not isinstance(key, int | str):
            problems.add(f"{path}, {kind} {position + 1}", "has no id")
        elif key in found:
            problems.add(
                f"{path}, {kind} id {key}", "the id comes twice; give each its own"
            )
        else:
            found[key] = entry
    return found


def _posix(images: Path, name: object) -> str:
    """Return a file's name with forward slashes, also where Windows wrote it."""
    text = str(name)
    there = os.path.lexists(images / text)
    return text if there else text.replace("\\", "/")


_Image = tuple[Any, str, dict[str, Any], tuple[float, float] | None, Extra]


def _image(path: Path, key: Any, entry: dict[str, Any], problems: Problems) -> _Image:
    where = f"{path}, image id {key}"
    if not isinstance(entry.get("file_name"), str):
        problems.add(where, "has no file_name")
    size = tuple(entry.get(side) for side in ("width", "height"))
    extra = {k: v for k, v in entry.items() if k not in _IMAGE_KEYS}
    if all(_is_number(side) for side in size):
        return key, where, entry, (float(size[0] or 0), float(size[1] or 0)), extra
    return key, where, entry, None, extra


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Integers may have any number of digits; a size has few.
    return isinstance(value, float) or abs(value) < 10**15


def _boxes(
    path: Path,
    annotations: list[dict[str, Any]],
    known: tuple[dict[Any, Any], dict[Any, Any]],
    problems: Problems,
) -> dict[Any, list[RawBox]]:
    """Sort the annotations by image id."""
    images, names = known
    found: dict[Any, list[RawBox]] = {key: [] for key in images}
    for position, entry in enumerate(annotations):
        where = f"{path}, annotation id {entry.get('id', f'(number {position + 1})')}"
        image, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image, int | str) or image not in images:
            problems.add(
                where,
                f"image_id {image} is not among the images; add the image, or remove "
                "the annotation",
            )
        elif not isinstance(category, int | str) or category not in names:
            known_ids = ", ".join(shown(str(key)) for key in list(names)[:_SHOWN])
            more = ", ..." if len(names) > _SHOWN else ""
            problems.add(
                where,
                f"category_id {category} is not among the categories ({known_ids}"
                f"{more}); add the category, or correct the id",
            )
        elif not _is_box(entry.get("bbox")):
            problems.add(
                where, f"bbox must be four numbers, not {entry.get('bbox')!r:.60}"
            )
        else:
            x, y, width, height = (float(value) for value in entry["bbox"])
            found[image].append(
                RawBox(
                    f"{where} (image {images[image].get('file_name')})",
                    (x, y, _end(x, width), _end(y, height)),
                    str(names[category].get("name")),
                    {k: v for k, v in entry.items() if k not in _BOX_KEYS},
                )
            )
    return found


def _end(start: float, length: float) -> float:
    """Add without the last digit's rounding; a later subtraction gives it back."""
    return round(start + length, 9)


def _is_box(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        # Beyond this no image reaches, and float() of a long integer would fail.
        and all(_is_number(v) and not abs(v) > 1e18 for v in value)
    )


def encode(boxes: BoxSet) -> dict[str, bytes]:
    """Return the files of a set, relative path -> content.

    Ids of the extras are kept; where there are none, fresh ones are counted up.
    """
    categories = _numbered([c.extra for c in boxes.categories])
    image_ids = _numbered([image.extra for image in boxes.images])
    flat = list(_flat(boxes, image_ids, categories))
    content = {
        **boxes.extra,
        "images": [
            {
                "id": key,
                "file_name": image.path,
                "width": image.width,
                "height": image.height,
                **_rest(image.extra),
            }
            for key, image in zip(image_ids, boxes.images, strict=True)
        ],
        "annotations": [
            {"id": key, **entry}
            for key, entry in zip(
                _numbered([extra for extra, _ in flat]),
                (entry for _, entry in flat),
                strict=True,
            )
        ],
        "categories": [
            {"id": key, "name": category.name, **_rest(category.extra)}
            for key, category in zip(categories, boxes.categories, strict=True)
        ],
    }
    text = json.dumps(content, ensure_ascii=False) + "\n"
    # A name that is not UTF-8 holds surrogates; \udcff is JSON for one of them.
    return {FILE: text.encode("utf-8", "backslashreplace")}


def _flat(
    boxes: BoxSet, image_ids: list[Any], categories: list[Any]
) -> Iterator[tuple[Extra, Extra]]:
    for key, image in zip(image_ids, boxes.images, strict=True):
        ids = [categories[label] for label in image.labels]
        items = each_box(image, boxes.categories)
        for (box, _, extra), category in zip(items, ids, strict=True):
            x0, y0, x1, y1 = box.tolist()
            width, height = round(x1 - x0, 9), round(y1 - y0, 9)
            yield (
                extra,
                {
                    "area": number(round(width * height, 6)),
                    "iscrowd": 0,
                    **_rest(extra),
                    "image_id": key,
                    "category_id": category,
                    "bbox": [number(value) for value in (x0, y0, width, height)],
                },
            )


def _rest(extra: Extra) -> Extra:
    return {key: value for key, value in extra.items() if key != "id"}


def _numbered(extras: list[Extra]) -> list[Any]:
    """Return the ids of the extras; entries without one count up from the rest."""
    taken = [extra["id"] for extra in extras if "id" in extra]
    following = max((key for key in taken if isinstance(key, int)), default=0) + 1
    ids = []
    for extra in extras:
        ids.append(extra.get("id", following))
        following += "id" not in extra
    return ids
