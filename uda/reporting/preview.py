"""Finds the images to look at before training, and their boxes.

Only what training may see: nothing of a test part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from uda.data.boxes.model import BoxSet, ReadRules
from uda.data.boxfiles import read_boxes
from uda.data.folders import find_images
from uda.data.pool import Pool
from uda.data.preprocessing import content_box
from uda.data.records import Catalog, Record, scan
from uda.data.splitfile import HEADER, Split
from uda.data.table import shown
from uda.errors import DataError, UsageError

Box = tuple[float, float, float, float]


def find_records(
    data: Path, *, split: Path | None = None, unlabeled: Sequence[Path] = ()
) -> tuple[Record, ...]:
    """Find the images that training may look at.

    Args:
        data: class folders, parts, a manifest, or a folder of images alone.
        split: a split file: its labelled and unlabelled parts and the validation
            part are used, as in training.
        unlabeled: further folders.

    Returns:
        The records, those of the test part left out.

    Raises:
        DataError: no usable image, or a split that does not fit the data.
        UsageError: a split file where the data should be.
    """
    if split is None and _is_split(data):
        raise UsageError(
            f"{shown(data)}: is a split file; give the data folder, and this file with "
            "--split"
        )
    catalog = scan(data, unlabeled=unlabeled, min_classes=0)
    if split is not None:
        return _of_split(Split.load(split), catalog, split)
    found = catalog.records or _flat(data)
    records = tuple(record for record in found if record.part != "test")
    if not records:
        raise DataError(f"{shown(data)}: holds a test part alone; nothing to look at")
    return records


def _of_split(split: Split, catalog: Catalog, path: Path) -> tuple[Record, ...]:
    parts = ("labeled", "unlabeled", "validation")
    records = [r for part in parts for r in split.records(catalog, part)]
    if not records:
        raise DataError(f"{shown(path)}: names no image outside the test part")
    return tuple(records)


def _flat(data: Path) -> tuple[Record, ...]:
    """Take a folder without classes as images alone: nothing is trained here."""
    if not data.is_dir():
        return ()
    return tuple(Record(path, data) for path in find_images(data).images)


def _is_split(path: Path) -> bool:
    """Tell a split file by its header."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.readline(200).strip() == ",".join(HEADER).encode()


def fitted_boxes(annotations: Path, data: Path, pool: Pool) -> dict[str, list[Box]]:
    """Read boxes and move them to where the pool's images show them.

    Args:
        annotations: a file or folder of any format of ``uda.data.boxfiles``.
        data: the data folder, or its manifest; the annotations' paths lie below.
        pool: its preprocessing says how images were fitted into their size.

    Returns:
        Path of a record -> its boxes x0, y0, x1, y1 in pixels of the pool's image.

    Raises:
        DataError: broken annotations, or none of an image of the pool.
    """
    root, found = _read_boxes(annotations, data if data.is_dir() else data.parent)
    by_file = {os.path.realpath(record.file): record.path for record in pool.records}
    size, mode = pool.preprocessing.size, pool.preprocessing.mode
    fitted: dict[str, list[Box]] = {}
    for image in found.images:
        path = by_file.get(os.path.realpath(root / image.path))
        if path is not None:
            top, bottom, left, right = content_box(
                (image.height, image.width), size, mode
            )
            x, y = (right - left) / image.width, (bottom - top) / image.height
            fitted[path] = [
                (left + x * x0, top + y * y0, left + x * x1, top + y * y1)
                for x0, y0, x1, y1 in image.boxes.tolist()
            ]
    if not any(fitted.values()):
        raise DataError(
            f"{shown(annotations)}: has no box of an image that training may see, for "
            f"example {shown(pool.records[0].path)!r}; its paths must be relative to "
            f"{shown(root)}"
        )
    return fitted


def _read_boxes(annotations: Path, root: Path) -> tuple[Path, BoxSet]:
    """Read annotations whose paths lie below the data, or beside the annotations."""
    try:
        return root, read_boxes(annotations, ReadRules(root, invalid="repair"))[0]
    except DataError:
        home = annotations.parent
        if not root.resolve().is_relative_to(home.resolve()):
            raise
        return home, read_boxes(annotations, ReadRules(home, invalid="repair"))[0]
