"""Defects in pixels: by hand, against resized masks, and where they are lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from uda.data.boxes.model import BoxedImage, BoxSet, Category
from uda.data.defects import defect_sizes, load, losses
from uda.data.images import fit


def boxed(width, height, *boxes):
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return BoxedImage(
        "a.png", width, height, corners, (0,) * len(boxes), ({},) * len(boxes)
    )


def test_shorter_sides_by_hand():
    image = boxed(200, 100, (0, 0, 40, 10), (0, 0, 20, 80))
    found = defect_sizes(
        BoxSet((image,), (Category("Dent"),)), [None, (64, 64), (100, 50)]
    )
    assert [one.smallest for one in found] == pytest.approx([10, 3.2, 2.5])
    assert [one.median for one in found] == pytest.approx([15, 4.8, 3.75])
    assert {one.boxes for one in found} == {2}
    squashed = defect_sizes(
        BoxSet((image,), (Category("Dent"),)), [(100, 50)], mode="squash"
    )
    assert squashed[0].smallest == pytest.approx(5)  # 20 wide, a quarter of it


@pytest.mark.parametrize("mode", ["letterbox", "squash"])
def test_a_resized_mask_is_as_large_as_said(mode):
    mask = np.zeros((120, 240, 1), np.uint8)
    mask[30:70, 60:180] = 255
    size = (60, 80)
    found = defect_sizes(
        BoxSet((boxed(240, 120, (60, 30, 180, 70)),), (Category("Dent"),)),
        [size],
        mode=mode,
    )
    after = fit(mask, size, mode=mode, fill=(0,))[:, :, 0] > 127
    shorter = min(np.ptp(np.flatnonzero(after.any(axis))) + 1 for axis in (0, 1))
    assert found[0].smallest == pytest.approx(shorter, abs=1)


def test_what_is_lost_is_said_with_size_and_class(tmp_path):
    Image.new("L", (256, 256)).save(tmp_path / "a.png")
    annotations = {
        "images": [{"id": 1, "file_name": "a.png", "width": 256, "height": 256}],
        "categories": [{"id": 1, "name": "Pit"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 24]}
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(annotations))
    boxes = load(tmp_path / "boxes.json", tmp_path)
    found = defect_sizes(boxes, [(64, 64), (128, 128), None])
    assert [one.lost for one in found] == [True, False, False]
    (text,) = losses(found)
    assert "64x64" in text
    assert "Pit is 5.0 px" in text
