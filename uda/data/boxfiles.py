"""Read and write boxes in COCO, Pascal VOC, YOLO and normalised corners.

Writing first gives the content of all files, so that a fault writes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from uda.data.boxes import coco, corners, side, voc, yolo
from uda.data.boxes.model import BoxSet, ReadRules
from uda.errors import DataError, UsageError

Format = Literal["coco", "voc", "yolo", "corners"]
FORMATS: tuple[Format, ...] = ("coco", "voc", "yolo", "corners")


def find_format(path: Path) -> tuple[Format, Path]:
    """Tell a file's or folder's format and where exactly its annotations lie.

    Args:
        path: a .json, .xml or .csv file, data.yaml, or a folder that holds one of
            annotations.json, boxes.csv, data.yaml, labels/, annotations/, or
            .xml or .txt files.

    Raises:
        DataError: there is no such file, or nothing in it is an annotation.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_file():
        kinds: dict[str, Format] = {
            ".json": "coco", ".xml": "voc", ".csv": "corners",
            ".yaml": "yolo", ".yml": "yolo",
        }  # fmt: skip
        if path.suffix.lower() in kinds:
            return kinds[path.suffix.lower()], path
        raise DataError(
            f"{path}: annotations are .json (COCO), .xml (VOC), .csv (corners), "
            "data.yaml or a folder (YOLO, VOC)"
        )
    found = _in_folder(path)
    if not found:
        raise DataError(
            f"{path}: holds no annotations; expected {coco.FILE}, {corners.FILE}, "
            f"{yolo.NAMES}, or a folder of .xml or .txt files"
        )
    if len({kind for kind, _ in found}) > 1:
        names = ", ".join(str(place) for _, place in found)
        raise UsageError(f"{path}: holds several formats; give one of {names}")
    return found[0]


def _in_folder(path: Path) -> list[tuple[Format, Path]]:
    found: list[tuple[Format, Path]] = []
    if (path / coco.FILE).is_file():
        found.append(("coco", path / coco.FILE))
    if (path / corners.FILE).is_file():
        found.append(("corners", path / corners.FILE))
    if (path / yolo.NAMES).is_file() or (path / yolo.FOLDER).is_dir():
        found.append(("yolo", path))
    for folder in (path / voc.FOLDER, path / "Annotations"):
        if not found and folder.is_dir() and any(folder.rglob("*.xml")):
            found.append(("voc", folder))
    if not found and any(path.rglob("*.xml")):
        found.append(("voc", path))
    if not found and any(path.rglob("*.txt")):
        found.append(("yolo", path))
    return found


def read_boxes(path: Path, rules: ReadRules) -> tuple[BoxSet, Format]:
    """Read annotations of any format; the side file beside them is used.

    Args:
        path: as for ``find_format``.
        rules: where the images lie and how strict to be.

    Returns:
        The set and the format it was read from.

    Raises:
        DataError: any fault, with file, annotation and a way out.
    """
    if not rules.images.is_dir():
        raise DataError(f"{rules.images}: there is no such folder of images")
    kind, place = find_format(path)
    if kind == "coco":
        return _checked(coco.read(place, rules), path), kind
    home = place if place.is_dir() else place.parent
    # VOC files lie one folder deeper than what describes them all.
    folder = home if (home / side.FILE).is_file() else home.parent
    beside = side.load(folder)
    read = {"voc": voc.read, "yolo": yolo.read, "corners": corners.read}[kind]
    found = side.attach(read(place, rules, beside), beside, folder)
    return _checked(found, path), kind


def _checked(boxes: BoxSet, path: Path) -> BoxSet:
    if not boxes.images:
        raise DataError(f"{path}: names no image; there is nothing to do")
    return boxes


def encode_boxes(boxes: BoxSet, kind: Format, *, voc_base: int = 0) -> dict[str, bytes]:
    """Return the files of a set in a format: relative path -> content.

    What the format has no place for is in ``boxes_extra.json``, and comes back
    from there when the files are read.

    Args:
        boxes: the set.
        kind: coco, voc, yolo or corners.
        voc_base: number of the first pixel in Pascal VOC files.

    Raises:
        DataError: a name that the format cannot hold.
    """
    if kind == "coco":
        return coco.encode(boxes)
    if kind == "voc":
        inline, image_inline = voc.BOX_KEYS, voc.IMAGE_KEYS
        files = voc.encode(boxes, base=voc_base)
    else:
        inline = image_inline = frozenset()
        files = yolo.encode(boxes) if kind == "yolo" else corners.encode(boxes)
    return files | side.encode(
        boxes,
        inline=inline.__contains__,
        image_inline=image_inline.__contains__,
        categories_known=kind == "yolo" or _sorted_and_used(boxes),
        voc_base=voc_base if kind == "voc" else 0,
    )


def _sorted_and_used(boxes: BoxSet) -> bool:
    """Tell whether the boxes alone give the classes, in alphabetical order."""
    names = [category.name for category in boxes.categories]
    used = {label for image in boxes.images for label in image.labels}
    return names == sorted(names) and len(used) == len(names)
