"""Copies of images with their boxes: how they are named, drawn and described."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from uda.augment.box_adapters import BoxRenderer
from uda.augment.boxes import MovedBoxes
from uda.data.boxes.model import BoxedImage, BoxSet, Extra, without_boxes
from uda.data.images import has_grey_mode, read_image
from uda.files import atomic_write, inside
from uda.offline.boxreport import Tally
from uda.offline.boxrequest import BoxRequest, Progress

UInt8 = npt.NDArray[np.uint8]
# Path of a copy -> its boxes and its (width, height).
Made = dict[str, tuple[MovedBoxes, tuple[int, int]]]

IMAGES = "images"
STREAM = "boxes"
# True of the original's outline or number only, and false of a moved copy.
OF_THE_ORIGINAL = frozenset(
    ("id", "area", "segmentation", "keypoints", "num_keypoints", "part", "rbox")
)


@dataclass(frozen=True)
class BoxCopy:
    """One copy to be made.

    Attributes:
        path: below the new set's folder of images.
        source: the image it is made of.
        number: of the copy of its source, from 0; the counter of its draw.
    """

    path: str
    source: BoxedImage
    number: int

    @property
    def stream(self) -> str:
        """Name of the random stream, one for each source.

        So no other image and no number of copies changes a draw.
        """
        # Streams are UTF-8; a file's name need not be.
        path = self.source.path.encode("utf-8", "backslashreplace").decode()
        return f"{STREAM}/{path}"


def new_names(boxes: BoxSet) -> dict[str, str]:
    """Return where each original goes below the new set's folder of images.

    A folder ``images`` that all paths begin with is left out: images/images/ would
    keep YOLO trainers from finding the labels.
    """
    paths = [image.path for image in boxes.images]
    lead = f"{IMAGES}/"
    if all(path.startswith(lead) for path in paths):
        return {path: path.removeprefix(lead) for path in paths}
    return {path: path for path in paths}


def plan_copies(boxes: BoxSet, num: int) -> list[BoxCopy]:
    """Name all copies; the name of an original is never taken again."""
    names = new_names(boxes)
    taken = {PurePosixPath(name).with_suffix("") for name in names.values()}
    copies = []
    for image in boxes.images:
        stem = PurePosixPath(names[image.path]).with_suffix("")
        for number in range(num):
            name = stem.with_name(f"{stem.name}_aug{number}")
            while name in taken:  # a.png beside a.jpg
                name = name.with_name(f"{name.name}_")
            taken.add(name)
            copies.append(BoxCopy(f"{name}.png", image, number))
    return copies


def make_copies(
    request: BoxRequest,
    renderer: BoxRenderer,
    copies: Sequence[BoxCopy],
    *,
    tally: Tally,
    progress: Progress | None = None,
) -> Made:
    """Draw the copies that are not there yet; return where all their boxes lie.

    Args:
        request: what is asked for.
        renderer: of its policy.
        copies: all of them, those of one image in a row.
        tally: counts the boxes.
        progress: called as ``progress("Copies", done, total)``.
    """
    made: Made = {}
    pixels: tuple[str, UInt8] | None = None
    for done, copy in enumerate(copies, start=1):
        source, target = copy.source, inside(request.out, f"{IMAGES}/{copy.path}")
        where: dict[str, Any] = {
            "seed": request.seed, "stream": copy.stream, "counter": copy.number,
        }  # fmt: skip
        if target.exists() and renderer.knows_boxes_first:
            size = (source.height, source.width)
            moved = renderer.boxes(size, source.boxes, **where)
        else:
            if pixels is None or pixels[0] != source.path:
                pixels = source.path, _read(request.images / source.path)
            fill = _mean(pixels[1])
            view, moved = renderer(pixels[1], source.boxes, fill=fill, **where)
            size = (view.shape[0], view.shape[1])
            if not target.exists():
                atomic_write(target, _png(view))
        made[copy.path] = (moved, (size[1], size[0]))
        tally.add(source.labels, moved)
        if progress:
            progress("Copies", done, len(copies))
    return made


def _read(path: Path) -> UInt8:
    return read_image(path, channels=1 if has_grey_mode(path) else 3)


def _mean(image: UInt8) -> UInt8:
    """Return the image's own mean colour: what moves leave open looks like it."""
    mean: UInt8 = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    return mean


def _png(view: UInt8) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(view[:, :, 0] if view.shape[2] == 1 else view)
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def copied(
    copy: BoxCopy, made: tuple[MovedBoxes, tuple[int, int]] | None
) -> BoxedImage:
    """Return a copy as an image of the new set; with no boxes before it is made."""
    source = copy.source
    extra = {k: v for k, v in source.extra.items() if k != "id"}
    extra["augmented_from"] = source.path
    image = replace(without_boxes(source), path=copy.path, extra=extra)
    if made is None:
        return image
    moved, (width, height) = made
    kept = moved.index.tolist()
    return replace(
        image,
        width=width,
        height=height,
        boxes=moved.boxes,
        labels=tuple(source.labels[i] for i in kept),
        extras=tuple(
            _moved_extra(source.extras[i], i, cut)
            for i, cut in zip(kept, moved.clipped.tolist(), strict=True)
        ),
    )


def _moved_extra(extra: Extra, place: int, clipped: bool) -> Extra:
    """Return what of a box's extras is still true of its moved copy."""
    kept = {k: v for k, v in extra.items() if k not in OF_THE_ORIGINAL}
    if clipped and "truncated" in kept:
        kept["truncated"] = 1
    kept["source_box"] = place
    if "id" in extra:
        kept["source_id"] = extra["id"]
    return kept
