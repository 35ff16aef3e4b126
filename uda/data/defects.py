"""How many pixels defects keep at an image size, from their boxes.

A defect whose shorter side falls under about 8 pixels is hardly there any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uda.data.boxes.model import BoxedImage, BoxSet, ReadRules
from uda.data.boxfiles import read_boxes
from uda.data.preprocessing import Mode

# Under this many pixels of its shorter side a defect counts as lost.
LEAST_SIDE = 8.0
# The smallest few boxes may be slips of the pen.
SMALL_QUANTILE = 5.0
USUAL_SIZES = ((64, 64), (96, 96), (128, 128), (224, 224))

Size = tuple[int, int]


@dataclass(frozen=True)
class DefectSize:
    """The shorter sides of a class's boxes at one image size, in pixels.

    Attributes:
        name: of the class.
        size: (H, W) of the images, or None as they are.
        boxes: how many.
        median: of the shorter side.
        small: its 5th percentile.
        smallest: its minimum.
    """

    name: str
    size: Size | None
    boxes: int
    median: float
    small: float
    smallest: float

    @property
    def lost(self) -> bool:
        """Whether small defects of the class fall under 8 pixels."""
        return self.small < LEAST_SIDE


def load(boxes: Path, images: Path) -> BoxSet:
    """Read annotations of any format; boxes over the edge are cut to the image.

    Args:
        boxes: file or folder, as for ``read_boxes``.
        images: the data set; of a manifest, its folder.

    Raises:
        DataError: nothing to read there, or images that cannot be found.
    """
    folder = images if images.is_dir() else images.parent
    return read_boxes(boxes, ReadRules(folder, invalid="repair"))[0]


def defect_sizes(
    boxes: BoxSet, sizes: Sequence[Size | None], *, mode: Mode = "letterbox"
) -> list[DefectSize]:
    """Measure the shorter side of every box, per class and image size.

    Args:
        boxes: annotations.
        sizes: (H, W) of images after resizing; None for as they are.
        mode: ``letterbox`` keeps proportions, ``squash`` does not.

    Returns:
        For each class that has boxes, in order of its name, one entry per size.
    """
    sides: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for image in boxes.images:
        for place, size in enumerate(sizes):
            across, down = _scales(image, size, mode)
            for box, label in zip(image.boxes, image.labels, strict=True):
                shorter = min((box[2] - box[0]) * across, (box[3] - box[1]) * down)
                sides[label, place].append(float(shorter))
    names = [category.name for category in boxes.categories]
    labels = sorted({label for label, _ in sides}, key=lambda label: names[label])
    return [
        _summary(names[label], size, sides[label, place])
        for label in labels
        for place, size in enumerate(sizes)
    ]


def _scales(image: BoxedImage, size: Size | None, mode: Mode) -> tuple[float, float]:
    if size is None:
        return 1.0, 1.0
    across, down = size[1] / image.width, size[0] / image.height
    if mode == "letterbox":
        across = down = min(across, down)
    return across, down


def _summary(name: str, size: Size | None, sides: Sequence[float]) -> DefectSize:
    median, small = np.percentile(sides, [50, SMALL_QUANTILE])
    return DefectSize(
        name, size, len(sides), float(median), float(small), float(min(sides))
    )


def losses(found: Sequence[DefectSize]) -> list[str]:
    """Say in words which classes lose their small defects at which size."""
    return [
        f"at {one.size[0]}x{one.size[1]} pixels the shorter side of small defects of "
        f"{one.name} is {one.small:.1f} px (5th percentile of {one.boxes} boxes); "
        f"under {LEAST_SIDE:.0f} px they are as good as lost: take a larger --imgsz, "
        "or --tiles"
        for one in found
        if one.size is not None and one.lost
    ]
