"""What all box formats have in common: images with boxes, classes, and extras.

Boxes are float64 x0, y0, x1, y1 in pixels as continuous edges (0..W, 0..H).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uda.data.images import BadImage, probe
from uda.data.table import shown
from uda.errors import DataError
from uda.files import inside

Float64 = npt.NDArray[np.float64]
Extra = dict[str, Any]

# Annotation tools round to whole pixels, so one pixel over the edge is rounding.
ROUNDING = 1.0
_SHOWN = 5


@dataclass(frozen=True)
class Category:
    """A class of objects; ``extra`` holds what only some formats know (id …)."""

    name: str
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class BoxedImage:
    """One image and its boxes.

    Attributes:
        path: below the images' folder, POSIX.
        width: pixels, as seen (after EXIF rotation).
        height: pixels.
        boxes: (n, 4) float64 x0, y0, x1, y1.
        labels: n positions in the set's categories.
        extras: n dictionaries: id, iscrowd, difficult, attributes …
        extra: of the image: id, license, segmented …
    """

    path: str
    width: int
    height: int
    boxes: Float64
    labels: tuple[int, ...]
    extras: tuple[Extra, ...]
    extra: Extra = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.labels) == len(self.extras):
            raise ValueError(f"{self.path}: boxes, labels and extras differ in number")


@dataclass(frozen=True)
class BoxSet:
    """All images of an annotation file or folder.

    Attributes:
        images: in the order of the source.
        categories: the classes; a YOLO class number is the position here.
        extra: of the whole set: info, licenses …
        notes: what a reader had to say.
    """

    images: tuple[BoxedImage, ...]
    categories: tuple[Category, ...]
    extra: Extra = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_boxes(self) -> int:
        """Return the number of boxes of all images."""
        return sum(len(image.boxes) for image in self.images)


@dataclass(frozen=True)
class RawBox:
    """One box as a file gives it, before any check.

    Attributes:
        where: how a message names it: "a.xml, object 3".
        values: x0, y0, x1, y1 in pixels.
        label: the class's name.
        extra: everything else.
    """

    where: str
    values: Sequence[float]
    label: str
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class RawImage:
    """One image as a file names it: size unknown (None) in some formats."""

    where: str
    path: str
    boxes: Sequence[RawBox]
    size: tuple[float, float] | None = None  # width, height
    extra: Extra = field(default_factory=dict)


class Problems:
    """Gathers what is wrong with the data, to show several faults at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: str, what: str) -> None:
        """Note one fault."""
        self.lines.append(f"{shown(where)}: {what}")

    def check(self) -> None:
        """Raise a DataError with the first faults, if there are any."""
        if self.lines:
            more = len(self.lines) - _SHOWN
            tail = f"\n... and {more} more" if more > 0 else ""
            raise DataError("\n".join(self.lines[:_SHOWN]) + tail)


@dataclass(frozen=True)
class ReadRules:
    """How strictly boxes are read.

    Attributes:
        images: folder that the images' paths are relative to.
        invalid: "error" refuses boxes outside of the frame or without area;
            "repair" cuts them to the frame and leaves out what has no area.
        voc_base: number of the first pixel in Pascal VOC files, 0 or 1.
    """

    images: Path
    invalid: Literal["error", "repair"] = "error"
    voc_base: Literal[0, 1] | None = None


def assemble(
    raw: Iterable[RawImage],
    categories: Sequence[Category],
    rules: ReadRules,
    *,
    extra: Extra | None = None,
) -> BoxSet:
    """Check everything that was read and build the set.

    Args:
        raw: images as their file names them.
        categories: the classes; every label of a box must be one of them.
        rules: where the images lie and how strict to be.
        extra: of the set.

    Raises:
        DataError: the first faults, each with file, annotation and a way out:
            images that are missing, named twice or of another size; unknown
            classes; boxes that are not finite, negative, empty or outside.
    """
    problems = Problems()
    known: dict[str, int] = {}
    for number, category in enumerate(categories):
        if category.name in known:
            problems.add(category.name, "the class is listed twice; rename one")
        known[category.name] = number
    images: list[BoxedImage] = []
    seen: dict[str, str] = {}
    repaired = [0, 0]
    for item in raw:
        if item.path in seen:
            problems.add(
                item.where,
                f"the image {shown(item.path)} is listed twice (also in "
                f"{shown(seen[item.path])}); join the entries",
            )
            continue
        seen[item.path] = item.where
        size = _size(item, rules, problems)
        if size is not None:
            images.append(_image(item, size, (known, rules, problems, repaired)))
    problems.check()
    return BoxSet(tuple(images), tuple(categories), extra or {}, _repairs(repaired))


def _repairs(counts: list[int]) -> tuple[str, ...]:
    if not any(counts):
        return ()
    return (
        f"{counts[0]} boxes reached out of their image and were cut to it; "
        f"{counts[1]} without area inside were left out",
    )


def _size(
    item: RawImage, rules: ReadRules, problems: Problems
) -> tuple[int, int] | None:
    """Return (width, height) from the image's header, compared with the file's."""
    try:
        header = probe(inside(rules.images, item.path))
    except BadImage as error:
        problems.add(item.where, _unread(item.path, rules.images, error))
        return None
    except DataError as error:
        problems.add(item.where, str(error))
        return None
    size = (header.width, header.height)
    if item.size is not None and tuple(item.size) != size:
        said = "x".join(f"{side:g}" for side in item.size)
        hint = (
            "it is turned by its EXIF tag: save it upright"
            if tuple(item.size) == size[::-1]
            else "was it resized after it was annotated?"
        )
        problems.add(
            item.where,
            f"says {shown(item.path)} is {said} px, but the file is "
            f"{size[0]}x{size[1]}; {hint}",
        )
        return None
    return size


def _unread(path: str, images: Path, error: BadImage) -> str:
    """Say why an image cannot be read, and which folder was perhaps meant."""
    file = images / path
    if not isinstance(error.__cause__, FileNotFoundError):
        return str(error)
    near = [images.parent, images / PurePosixPath(path).parts[0]]
    meant = next((folder for folder in near if (folder / path).is_file()), None)
    if meant is not None:
        return (
            f"{shown(str(file))}: the file is missing, but it is there below "
            f"{shown(str(meant))}: give --images {shown(str(meant))}, which the paths "
            "count from"
        )
    return (
        f"{shown(str(file))}: the file is missing; restore it, correct the path, or "
        "give the folder that the paths count from with --images"
    )


_State = tuple[dict[str, int], ReadRules, Problems, list[int]]


def _image(item: RawImage, size: tuple[int, int], state: _State) -> BoxedImage:
    known, rules, problems, repaired = state
    boxes: list[list[float]] = []
    labels: list[int] = []
    extras: list[Extra] = []
    for raw in item.boxes:
        if raw.label not in known:
            problems.add(
                raw.where,
                f"the class {shown(raw.label)!r} is not listed; the classes are "
                f"{', '.join(shown(name) for name in known) or '(none)'}",
            )
            continue
        box = _box(raw, size, (rules, problems, repaired))
        if box is not None:
            boxes.append(box)
            labels.append(known[raw.label])
            extras.append(raw.extra)
    return BoxedImage(
        item.path,
        *size,
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        tuple(labels),
        tuple(extras),
        item.extra,
    )


def _box(
    raw: RawBox,
    size: tuple[int, int],
    state: tuple[ReadRules, Problems, list[int]],
) -> list[float] | None:
    """Return a checked box, cut to the frame, or None after noting the fault."""
    rules, problems, repaired = state
    values = [float(value) for value in raw.values]
    text = ", ".join(f"{value:g}" for value in values)
    if not np.isfinite(values).all():
        problems.add(raw.where, f"a coordinate is not a finite number ({text})")
        return None
    x0, y0, x1, y1 = values
    if x1 < x0 or y1 < y0:
        problems.add(
            raw.where,
            f"negative width or height (x {x0:g} to {x1:g}, y {y0:g} to {y1:g}); "
            "swap the corners",
        )
        return None
    cut = [max(x0, 0.0), max(y0, 0.0), min(x1, size[0]), min(y1, size[1])]
    far = max(abs(a - b) for a, b in zip(values, cut, strict=True)) > ROUNDING
    empty = cut[2] <= cut[0] or cut[3] <= cut[1]
    if rules.invalid == "error" and (far or empty):
        fault = "has no area" if empty and not far else "reaches out of the image"
        problems.add(
            raw.where,
            f"the box x {x0:g} to {x1:g}, y {y0:g} to {y1:g} {fault} of "
            f"{size[0]}x{size[1]} px; correct it, or cut such boxes to the image and "
            "leave out empty ones with --invalid repair",
        )
        return None
    repaired[0] += far and not empty
    repaired[1] += empty
    return None if empty else cut


def without_boxes(image: BoxedImage) -> BoxedImage:
    """Return the image with no box."""
    return replace(image, boxes=np.zeros((0, 4)), labels=(), extras=())


def each_box(
    image: BoxedImage, categories: Sequence[Category]
) -> Iterator[tuple[Float64, str, Extra]]:
    """Give (box, class name, extra) of an image, one by one."""
    for box, label, extra in zip(image.boxes, image.labels, image.extras, strict=True):
        yield box, categories[label].name, extra


def number(value: float) -> int | float:
    """Return a whole number as int, for files that people read."""
    value = float(value)
    return int(value) if value.is_integer() else value


def unscaled(share: float, side: int) -> float:
    """Return ``share * side`` px without the rounding of the division before."""
    return round(share * side, 9)
