"""A small set with everything that formats stumble over, and its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from uda.data.boxes.model import BoxedImage, BoxSet, Category, ReadRules

SIZES = {
    "one.png": (64, 48),
    "sub folder/zwei ä.png": (31, 77),
    "sub folder/empty.png": (20, 20),
    "=1+1.png": (17, 13),
}


def write_images(folder: Path, sizes=SIZES) -> Path:
    for name, (width, height) in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, height), 90).save(path)
    return folder


def image(path, boxes, labels, extras=None, extra=None):
    width, height = SIZES[path]
    return BoxedImage(
        path, width, height, np.array(boxes, dtype=float).reshape(-1, 4),
        tuple(labels), tuple(extras or [{} for _ in labels]), extra or {},
    )  # fmt: skip


def sample() -> BoxSet:
    """Ids, flags and attributes of COCO and VOC; an empty image; an unused class."""
    return BoxSet(
        images=(
            image(
                "one.png",
                [[0, 0, 64, 48], [1.25, 1 / 3, 20.7, 11.1], [5, 5, 6, 6]],
                [2, 0, 0],
                [
                    {"id": 40, "iscrowd": 1, "segmentation": {"counts": "x"}},
                    {"id": 7, "attributes": {"who": "ü", "sure": 0.5}},
                    {"id": 9, "difficult": 1, "pose": "Left", "truncated": 0},
                ],
                {"id": 3, "license": 2, "segmented": 0},
            ),
            image(
                "sub folder/zwei ä.png",
                [[0.1, 0.2, 30.999999, 76.9]],
                [1],
                [{"id": 8, "track": "a"}],
                {"id": 1},
            ),
            image("sub folder/empty.png", [], [], extra={"id": 2}),
            image("=1+1.png", [[3, 4, 5, 6]], [0], extra={"id": 5}),
        ),
        categories=(
            Category("pit", {"id": 90, "supercategory": "hole"}),
            Category("a scratch", {"id": 3}),
            Category("=Rost & <Zunder>", {"id": 4}),
            Category("never seen", {"id": 5}),
        ),
        extra={"info": {"year": 2026}, "licenses": [{"id": 2}]},
    )  # fmt: skip


def plain() -> BoxSet:
    """The same kind of set without anything that needs a side file."""
    return BoxSet(
        images=(
            image("one.png", [[1.5, 2, 33, 44.25]], [1]),
            image("sub folder/empty.png", [], []),
            image("sub folder/zwei ä.png", [[0, 0, 31, 77], [2, 3, 4, 5]], [0, 1]),
        ),
        categories=(Category("crack"), Category("pit")),
    )


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def rules(folder: Path, **changes) -> ReadRules:
    return ReadRules(images=folder, **changes)


def assert_same(first: BoxSet, second: BoxSet, *, extras=True, tolerance=1e-6):
    names = [image.path for image in second.images]
    assert [image.path for image in first.images] == names
    for a, b in zip(first.images, second.images, strict=True):
        assert (a.width, a.height) == (b.width, b.height)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=tolerance, rtol=0)
        assert [first.categories[i].name for i in a.labels] == [
            second.categories[i].name for i in b.labels
        ]
        if extras:
            assert a.extras == b.extras
            assert a.extra == b.extra
    if extras:
        assert first.categories == second.categories
        assert first.extra == second.extra
