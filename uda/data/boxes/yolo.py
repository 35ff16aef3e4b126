"""YOLO: one text file per image; a line is class, centre x, y, width, height (0..1).

The class names stand in data.yaml (``names``) or classes.txt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import yaml

from uda.data.boxes.model import (
    BoxedImage,
    BoxSet,
    Category,
    Problems,
    RawBox,
    RawImage,
    ReadRules,
    assemble,
    unscaled,
)
from uda.data.boxes.side import Side
from uda.data.images import SUFFIXES, BadImage, probe
from uda.data.table import shown
from uda.errors import DataError

FOLDER, IMAGES, NAMES = "labels", "images", "data.yaml"
_NAME_FILES = ("classes.txt", "obj.names")
# Text files that lie beside labels in many sets and are none.
_OTHER = frozenset((*_NAME_FILES, "train.txt", "val.txt", "test.txt", "labels.txt"))
# Without 'path', trainers count from the folder of this file; '.' would be the
# folder that they are called in.
_PLACES = """\
train: images
# No validation part: these are the training images and their copies again, since
# trainers refuse a file without this key. Put a folder of other images here.
val: images
"""


def read(path: Path, rules: ReadRules, side: Side | None = None) -> BoxSet:
    """Read a folder of label files with its names.

    Every image below the images' folder belongs to the set; one without a label
    file, or with an empty one, has no box. Where a side file lists the images, one
    that is not listed and has no label file is left out.

    Args:
        path: data.yaml, a folder with labels/ in it, or the labels' folder.
        rules: where the images lie.
        side: of an earlier conversion.

    Raises:
        DataError: names missing, a label file without its image, or any fault.
    """
    root = path if path.is_dir() else path.parent
    labels = root / FOLDER if (root / FOLDER).is_dir() else root
    names = _names(root, labels)
    problems = Problems()
    found = list(_images(rules.images))
    if side is not None:  # it knows which images were in the set
        found = [
            name
            for name in found
            if name in side.images or (labels / _label_of(labels, name)).is_file()
        ]
    used: dict[PurePosixPath, str] = {}
    raw = []
    for name in found:
        label = _label_of(labels, name)
        if label in used:
            problems.add(
                str(labels / label),
                f"belongs to both {shown(used[label])} and {shown(name)}; rename one",
            )
            continue
        used[label] = name
        raw.append(_image(name, labels / label, (names, rules.images), problems))
    known = {Path(label) for label in used}
    for file in sorted(labels.rglob("*.txt")):
        if file.name not in _OTHER and file.relative_to(labels) not in known:
            problems.add(
                str(file),
                f"there is no such image below {rules.images}; restore it, or remove "
                "the label file",
            )
    problems.check()
    extras = {c.name: c.extra for c in side.categories} if side else {}
    categories = [Category(name, extras.get(name, {})) for name in names.values()]
    return assemble(raw, categories, rules)


def _label_of(labels: Path, name: str) -> PurePosixPath:
    """Return where an image's label file lies below the labels' folder.

    Under the image's own path, or as trainers look for it: in a folder ``labels``
    beside the folder ``images`` (``train/images/1.jpg``, ``train/labels/1.txt``).
    """
    mirrored = PurePosixPath(name).with_suffix(".txt")
    if IMAGES not in mirrored.parts[:-1] or (labels / mirrored).is_file():
        return mirrored
    parts = list(mirrored.parts)
    last = max(place for place, part in enumerate(parts[:-1]) if part == IMAGES)
    parts[last] = FOLDER
    beside = PurePosixPath(*parts)
    return beside if (labels / beside).is_file() else mirrored


def held_out(path: Path, images: Sequence[Path]) -> list[int]:
    """Return the places of images that data.yaml keeps for measuring.

    They lie in what it names for validation or test, and not in what it names for
    training.

    Args:
        path: as `read` takes it.
        images: (N,) their files.
    """
    root = path if path.is_dir() else path.parent
    file = next((f for f in (root / NAMES, root.parent / NAMES) if f.is_file()), None)
    content = None if file is None else _yaml(file)
    if file is None or not isinstance(content, dict):
        return []
    train, kept = (
        {place for key in keys for place in _places(file, content, content.get(key))}
        for keys in (("train",), ("val", "test"))
    )
    return [
        number
        for number, image in enumerate(images)
        if _lies_in(image, kept) and not _lies_in(image, train)
    ]


def _lies_in(image: Path, places: set[Path]) -> bool:
    # A link may lead into a store: it is where it lies as well as where it leads.
    forms = (image.absolute(), image.resolve())
    return any(form == p or p in form.parents for form in forms for p in places)


def _places(file: Path, content: dict[str, object], named: object) -> Iterator[Path]:
    """Yield the folders and images that data.yaml means, from 'path' or its own."""
    for name in named if isinstance(named, list) else [named]:
        if not isinstance(name, str) or not name:
            continue
        base = file.parent / str(content.get("path") or "")
        # Some sets say ../valid/images for what lies beside data.yaml.
        tried = (base / name, file.parent / name, file.parent / name.lstrip("./"))
        found = next((place for place in tried if place.exists()), None)
        if found is None:
            continue
        if found.is_dir():
            yield from (found.absolute(), found.resolve())
        else:  # a list of images, counted from where it lies
            lines = (line.strip() for line in _text(found).splitlines())
            yield from ((found.parent / line).resolve() for line in lines if line)


def _images(folder: Path) -> Iterator[str]:
    for place, below, files in os.walk(folder):
        below.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(place, name).relative_to(folder).as_posix()


def _names(root: Path, labels: Path) -> dict[int, str]:
    """Return class number -> name from the first file that gives them."""
    for folder in (root, labels, root.parent):
        if (folder / NAMES).is_file():
            return _names_from_yaml(folder / NAMES)
        for name in _NAME_FILES:
            if (folder / name).is_file():
                return _names_from_lines(folder / name)
    raise DataError(
        f"{root}: YOLO labels need the class names; put {NAMES} (names: [...]) or "
        "classes.txt (one per line) there"
    )


def _names_from_lines(path: Path) -> dict[int, str]:
    """Number the lines from 0; one that names nothing would shift all after it."""
    names = [line.strip() for line in _text(path).rstrip().splitlines()]
    if "" in names:
        raise DataError(
            f"{path}, line {names.index('') + 1}: names no class, so it is open which "
            "number the classes after it have; name it or delete the line"
        )
    return dict(enumerate(names))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 text ({error}); save it as UTF-8"
        ) from error


def _yaml(path: Path) -> object:
    try:
        # As plain text: a class may be called NO, on or 1.50.
        return yaml.load(path.read_text("utf-8-sig"), yaml.BaseLoader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _names_from_yaml(path: Path) -> dict[int, str]:
    content = _yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(str(k).isdecimal() for k in names):
        raise DataError(f"{path}: needs 'names', a list or number: name")
    numbered = {int(key): str(name) for key, name in names.items()}
    return dict(sorted(numbered.items()))


def _image(
    name: str,
    file: Path,
    context: tuple[dict[int, str], Path],
    problems: Problems,
) -> RawImage:
    names, folder = context
    boxes: list[RawBox] = []
    try:
        lines = file.read_text("utf-8-sig").splitlines() if file.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        problems.add(str(file), f"cannot be read ({error})")
        lines = []
    size = _size(folder / name) if any(lines) else None
    for line, text in enumerate(lines, start=1):
        if text.strip() and size is not None:
            box = _line(text, f"{file}:{line}", (names, size), problems)
            boxes += [] if box is None else [box]
    return RawImage(str(file), name, boxes)


def _size(path: Path) -> tuple[int, int] | None:
    """Return (width, height), None for a broken image: ``assemble`` tells of it."""
    try:
        header = probe(path)
    except BadImage:
        return None
    return header.width, header.height


def _line(
    text: str,
    where: str,
    context: tuple[dict[int, str], tuple[int, int]],
    problems: Problems,
) -> RawBox | None:
    names, (width, height) = context
    cells = text.split()
    try:
        number, values = int(cells[0]), [float(cell) for cell in cells[1:]]
    except ValueError:
        problems.add(where, f"is not 'class x y width height': {shown(text)[:60]}")
        return None
    if len(values) != 4:
        problems.add(
            where,
            f"has {len(values)} numbers after the class; a box has 4 (x y width "
            "height): polygons, turned boxes and scores cannot be read",
        )
        return None
    if number not in names:
        problems.add(
            where,
            f"class {number} has no name; the names end at {max(names, default=-1)}",
        )
        return None
    x, y, w, h = values
    edges = ((x - w / 2, width), (y - h / 2, height), (x + w / 2, width))
    corners = [unscaled(share, side) for share, side in edges]
    return RawBox(where, (*corners, unscaled(y + h / 2, height)), names[number])


def encode(boxes: BoxSet) -> dict[str, bytes]:
    """Return the label files and data.yaml, relative path -> content.

    Shares are written with all their digits, so pixels come back exactly.

    Raises:
        DataError: two images whose label file would be the same.
    """
    files: dict[str, bytes] = {}
    for image in boxes.images:
        place = PurePosixPath(FOLDER, image.path).with_suffix(".txt").as_posix()
        if place in files:
            raise DataError(
                f"{image.path}: another image of the same name shares its label file "
                f"{place} in YOLO; rename one, or choose another --format"
            )
        files[place] = "".join(_lines(image)).encode()
    names = dict(enumerate(category.name for category in boxes.categories))
    text = yaml.safe_dump({"names": names}, allow_unicode=True, sort_keys=False)
    files[NAMES] = (_PLACES + text).encode()
    return files


def _lines(image: BoxedImage) -> Iterator[str]:
    for (x0, y0, x1, y1), label in zip(image.boxes.tolist(), image.labels, strict=True):
        x, w = (x0 + x1) / 2 / image.width, (x1 - x0) / image.width
        y, h = (y0 + y1) / 2 / image.height, (y1 - y0) / image.height
        yield f"{label} {x!r} {y!r} {w!r} {h!r}\n"
