"""The side file: what an annotation format has no place for, kept beside it.

Ids, crowd flags, attributes and the order of images and classes come back when
the annotations are read again; a box that was edited since loses its extras.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from uda.data.boxes.model import BoxedImage, BoxSet, Category, Extra
from uda.errors import DataError
from uda.files import read_json

FILE = "boxes_extra.json"
_FORMAT = "uda-boxes-extra-1"
# An edit moves a box further; writing digits moves it less. Pixels.
_SAME = 0.01


@dataclass(frozen=True)
class Side:
    """The content of a side file.

    Attributes:
        categories: all classes in order; () = the annotations say.
        images: path -> {"extra", "boxes": [{"at", "label", "extra"}]}.
        extra: of the set.
        voc_base: number of the first pixel in the VOC files beside it.
    """

    categories: tuple[Category, ...] = ()
    images: dict[str, Any] = field(default_factory=dict)
    extra: Extra = field(default_factory=dict)
    voc_base: int = 0


def load(folder: Path) -> Side | None:
    """Read the side file of a folder, None where there is none.

    Raises:
        DataError: it is broken; the message names it.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        if content["format"] != _FORMAT:
            raise ValueError(f"unknown format {content['format']!r}")
        categories = [(str(c["name"]), dict(c["extra"])) for c in content["categories"]]
        side = Side(
            tuple(Category(*item) for item in categories),
            {str(key): dict(value) for key, value in content["images"].items()},
            dict(content["extra"]),
            int(content["voc_base"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: is not a side file of this program ({error!r}); move it away to "
            "read the annotations without ids and flags"
        ) from error
    return side


def attach(boxes: BoxSet, side: Side | None, path: Path) -> BoxSet:
    """Give the boxes of a set the extras of its side file, and its image order.

    Raises:
        DataError: an entry of the side file is broken.
    """
    if side is None:
        return boxes
    missed = 0
    images = []
    for image in boxes.images:
        try:
            found, lost = _attached(image, side, boxes.categories)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path / FILE}: the entry of {image.path} is broken ({error!r}); move "
                "the file away to read the annotations without ids and flags"
            ) from error
        missed += lost
        images.append(found)
    order = {key: place for place, key in enumerate(side.images)}
    images.sort(key=lambda image: order.get(image.path, len(order)))
    notes = boxes.notes
    if missed:
        notes += (
            f"{missed} boxes were changed since {FILE} was written; they come without "
            "the ids and flags of that file",
        )
    return replace(
        boxes, images=tuple(images), extra={**side.extra, **boxes.extra}, notes=notes
    )


def _attached(
    image: BoxedImage, side: Side, categories: Sequence[Category]
) -> tuple[BoxedImage, int]:
    """Return the image with its extras and how many boxes found none."""
    entry = side.images.get(image.path)
    if entry is None:
        return image, 0
    known = entry.get("boxes", [])
    free = list(range(len(known)))
    extras, lost = [], 0
    for place, (box, label) in enumerate(zip(image.boxes, image.labels, strict=True)):
        name = categories[label].name
        # The same place first: two equal boxes must not swap their ids.
        order = [i for i in free if i == place] + [i for i in free if i != place]
        match = next((i for i in order if _is_same(known[i], box, name)), None)
        own = image.extras[place]
        if match is None:
            extras.append(own)
            lost += 1
        else:
            free.remove(match)
            extras.append({**known[match]["extra"], **own})
    extra = {**entry.get("extra", {}), **image.extra}
    # Without any box in the side file there was nothing to lose.
    return replace(image, extras=tuple(extras), extra=extra), lost if known else 0


def _is_same(entry: Any, box: Any, label: str) -> bool:
    distance = np.abs(np.asarray(entry["at"], dtype=np.float64) - box).max()
    return bool(entry["label"] == label and distance <= _SAME)


def encode(
    boxes: BoxSet,
    *,
    inline: Callable[[str], bool],
    image_inline: Callable[[str], bool],
    categories_known: bool,
    voc_base: int = 0,
) -> dict[str, bytes]:
    """Return the side file of a set, or nothing where nothing would be lost.

    Args:
        boxes: the set.
        inline: whether the format has a place for this key of a box.
        image_inline: the same for a key of an image.
        categories_known: whether reading the format gives all classes in order.
        voc_base: of Pascal VOC files.
    """
    images = {
        image.path: _entry(image, boxes.categories, inline, image_inline)
        for image in boxes.images
    }
    named = [{"name": c.name, "extra": c.extra} for c in boxes.categories]
    needed = (
        any(images.values())
        or bool(boxes.extra)
        or any(category.extra for category in boxes.categories)
        or not categories_known
        or list(images) != sorted(images)
        or voc_base != 0
    )
    if not needed:
        return {}
    content = {
        "format": _FORMAT,
        "voc_base": voc_base,
        "extra": boxes.extra,
        "categories": named,
        "images": images,
    }
    text = json.dumps(content, ensure_ascii=False) + "\n"
    # A name that is not UTF-8 holds surrogates; \udcff is JSON for one of them.
    return {FILE: text.encode("utf-8", "backslashreplace")}


def _entry(
    image: BoxedImage,
    categories: Sequence[Category],
    inline: Callable[[str], bool],
    image_inline: Callable[[str], bool],
) -> dict[str, Any]:
    extras = [{k: v for k, v in e.items() if not inline(k)} for e in image.extras]
    entry: dict[str, Any] = {}
    if any(extras):
        entry["boxes"] = [
            {"at": box.tolist(), "label": categories[label].name, "extra": extra}
            for box, label, extra in zip(image.boxes, image.labels, extras, strict=True)
        ]
    extra = {k: v for k, v in image.extra.items() if not image_inline(k)}
    if extra:
        entry["extra"] = extra
    return entry
