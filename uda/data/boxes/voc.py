"""Pascal VOC: one XML file per image; a box is xmin, ymin, xmax, ymax in pixels.

Two habits exist. Base 0 (the default here, as in most tools of today) reads the
numbers as edges: xmin = x0, xmax = x1. Base 1 is the original one of 2007: pixels
count from 1 and both ends are inside, so xmin = x0 + 1 and xmax = x1.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from uda.data.boxes.model import (
    BoxedImage,
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
from uda.data.boxes.side import Side
from uda.data.boxes.xmltree import read_xml
from uda.data.table import shown
from uda.errors import DataError

FOLDER = "annotations"
BOX_KEYS = frozenset(("pose", "truncated", "difficult", "occluded", "part"))
IMAGE_KEYS = frozenset(("segmented", "source", "owner", "depth"))
_FLAGS = frozenset(("truncated", "difficult", "occluded", "segmented", "depth"))
_DEPTH = 3  # written where nothing is known
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path, rules: ReadRules, side: Side | None = None) -> BoxSet:
    """Read one XML file, or all below a folder.

    Args:
        path: the file or folder.
        rules: where the images lie; ``voc_base`` None = as the side file says, else 0.
        side: of an earlier conversion.

    Raises:
        DataError: broken or hostile XML, or any fault of an image or a box.
    """
    base = rules.voc_base if rules.voc_base is not None else (side or Side()).voc_base
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    problems = Problems()
    raw = [_image(file, (root, rules.images), base, problems) for file in files]
    problems.check()
    found = [image for image in raw if image is not None]
    if side is not None and side.categories:
        categories = side.categories
    else:
        names = sorted({box.label for image in found for box in image.boxes})
        categories = tuple(Category(name) for name in names)
    return assemble(found, categories, rules)


def _image(
    file: Path, roots: tuple[Path, Path], base: int, problems: Problems
) -> RawImage | None:
    tree = read_xml(file)
    where = str(file)
    name = tree.findtext("filename", "").strip()
    if not name:
        problems.add(where, "names no image (<filename>)")
        return None
    boxes = []
    for place, item in enumerate(tree.findall("object"), start=1):
        box = _object(item, f"{where}, object {place}", base, problems)
        if box is not None:
            boxes.append(box)
    extra = _content(tree, ("filename", "size", "object"))
    depth = tree.findtext("size/depth", "").strip()
    if depth.isdecimal() and int(depth) != _DEPTH:
        extra["depth"] = int(depth)
    path = _find(name, tree.findtext("folder", "").strip(), file, roots)
    if extra.get("folder") in ("", str(PurePosixPath(path).parent)):
        del extra["folder"]
    return RawImage(where, path, boxes, _size(tree), extra)


def _size(tree: ET.Element) -> tuple[float, float] | None:
    """Return (width, height), None where the file leaves them out or at 0."""
    sides = [_float(tree.findtext(f"size/{key}", "")) for key in ("width", "height")]
    if None in sides or 0 in sides:
        return None
    return float(sides[0] or 0), float(sides[1] or 0)


def _find(name: str, folder: str, file: Path, roots: tuple[Path, Path]) -> str:
    """Return the image's path: as named, beside its XML, or in its <folder>."""
    root, images = roots
    below = file.parent.relative_to(root).as_posix()
    candidates = [
        PurePosixPath(below, name), PurePosixPath(folder, name), PurePosixPath(name),
    ]  # fmt: skip
    for candidate in candidates:
        safe = not candidate.is_absolute() and ".." not in candidate.parts
        if safe and (images / candidate).is_file():
            return candidate.as_posix()
    return candidates[0].as_posix()


def _object(
    item: ET.Element, where: str, base: int, problems: Problems
) -> RawBox | None:
    label = item.findtext("name", "").strip()
    texts = {key: item.findtext(f"bndbox/{key}", "").strip() for key in _EDGES}
    edges = [_float(text) for text in texts.values()]
    if not label:
        problems.add(where, "has no <name>")
        return None
    if None in edges:
        wrong = ", ".join(
            f"<{key}> is {shown(text)[:30]!r}" if text else f"<{key}> is missing"
            for key, text in texts.items()
            if _float(text) is None
        )
        problems.add(
            where,
            f"needs a <bndbox> with the numbers {', '.join(_EDGES)}; {wrong}: correct "
            "it, or remove the object",
        )
        return None
    x0, y0, x1, y1 = (float(edge or 0) for edge in edges)
    extra = _content(item, ("name", "bndbox"))
    parts = item.findall("part")
    if parts:
        extra["part"] = [_value(part) for part in parts]
    return RawBox(where, (x0 - base, y0 - base, x1, y1), label, extra)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _content(element: ET.Element, leave_out: Sequence[str] = ()) -> Extra:
    """Return an element's attributes as ``@name``, and its children by their tag.

    A tag that comes several times holds a list.
    """
    children: dict[str, list[Any]] = {}
    for child in element:
        if child.tag not in leave_out:
            children.setdefault(child.tag, []).append(_value(child))
    return {f"@{key}": text for key, text in element.attrib.items()} | {
        tag: values if len(values) > 1 else values[0]
        for tag, values in children.items()
    }


def _value(element: ET.Element) -> Any:
    """Turn an element into text, a flag, or a dictionary of what is in it.

    Its own text is ``#text`` there.
    """
    text = (element.text or "").strip()
    if len(element) or element.attrib:
        return _content(element) | ({"#text": text} if text else {})
    return int(text) if element.tag in _FLAGS and text.isdecimal() else text


def encode(boxes: BoxSet, *, base: int = 0) -> dict[str, bytes]:
    """Return one XML file per image, relative path -> content.

    Floats are written with all their digits.

    Raises:
        DataError: a name that XML cannot hold.
    """
    taken: set[str] = set()
    files = {}
    for image in boxes.images:
        place = PurePosixPath(FOLDER, image.path)
        name = place.with_suffix(".xml").as_posix()
        if name in taken:  # a.png beside a.jpg
            name = place.as_posix() + ".xml"
        taken.add(name)
        files[name] = _document(image, boxes.categories, base)
    return files


def _document(image: BoxedImage, categories: Sequence[Category], base: int) -> bytes:
    root = ET.Element("annotation")
    place = PurePosixPath(image.path)
    _text(root, "folder", "" if str(place.parent) == "." else str(place.parent))
    _text(root, "filename", place.name)
    size = ET.SubElement(root, "size")
    _text(size, "width", image.width)
    _text(size, "height", image.height)
    _text(size, "depth", image.extra.get("depth", _DEPTH))
    _inline(root, image.extra, IMAGE_KEYS - {"depth"})
    for box, label, extra in each_box(image, categories):
        item = ET.SubElement(root, "object")
        _text(item, "name", label)
        _inline(item, extra, BOX_KEYS)
        edges = ET.SubElement(item, "bndbox")
        x0, y0, x1, y1 = box.tolist()
        shifted = (x0 + base, y0 + base, x1, y1)
        for key, value in zip(_EDGES, shifted, strict=True):
            _text(edges, key, number(value))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8")) + b"\n"


def _inline(parent: ET.Element, extra: Extra, keys: frozenset[str]) -> None:
    for key, value in extra.items():
        if key in keys:
            _element(parent, key, value)


def _element(parent: ET.Element, key: str, value: Any) -> None:
    """Write what ``_content`` and ``_value`` read."""
    if isinstance(value, list):
        for item in value:
            _element(parent, key, item)
    elif isinstance(value, dict):
        child = ET.SubElement(parent, key)
        for inner, content in value.items():
            if inner == "#text":
                child.text = _checked(content)
            elif inner.startswith("@"):
                child.set(inner[1:], _checked(content))
            else:
                _element(child, inner, content)
    else:
        _text(parent, key, value)


def _text(parent: ET.Element, key: str, value: object) -> None:
    ET.SubElement(parent, key).text = _checked(value)


def _checked(value: object) -> str:
    text = str(value)
    control = any(ord(c) < 32 and c not in "\t\n" for c in text)
    if control or any("\ud800" <= c <= "\udfff" for c in text):
        raise DataError(
            f"{shown(text)!r}: XML cannot hold this name; rename it, or choose "
            "--format coco"
        )
    return text
