"""How much of a defect stays visible: against pixels counted one by one."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from uda.augment.kernels import render
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.data.images import fit
from uda.data.preprocessing import Preprocessing
from uda.errors import DataError
from uda.offline.visibility import (
    Defects,
    audit_boxes,
    fitted,
    read_defects,
    visible_shares,
    write_visibility,
)

GREY = Preprocessing((40, 40), 1, "letterbox", None, (0.5,), (0.2,))


def drawn(boxes, shape):
    image = np.zeros((*shape, 1), dtype=np.uint8)
    for x0, y0, x1, y1 in np.rint(boxes).astype(int):
        image[y0:y1, x0:x1] = 255
    return image


@pytest.mark.parametrize(
    "policy",
    [
        Policy("t", ops=(OpSpec("TranslateX", 0.1, 0.6),), count=1),
        Policy("c", ops=(OpSpec("Cutout", 0.3, 0.9),), count=1),
        Policy("cut", cutout=0.7),
    ],
)
def test_shares_equal_counted_pixels(policy):
    boxes = np.array([[2.0, 3, 14, 20], [30, 30, 36, 38]])
    shares = visible_shares(
        policy, [boxes[:1], boxes[1:]], (40, 40), draws=20, seed=0, stream="s"
    )
    for column, box in enumerate(boxes):
        image = np.repeat(drawn([box], (40, 40))[None], 20, axis=0)
        counters = np.arange(20) + 20 * column
        views = render(policy, image, seed=0, stream="s", counters=counters, fill=[0])
        counted = (views > 0).sum(axis=(1, 2, 3)) / (image[0] > 0).sum()
        assert shares[:, column] == pytest.approx(counted, abs=1e-6)


@pytest.mark.parametrize("mode", ["letterbox", "squash"])
def test_boxes_are_scaled_as_the_images_are(mode):
    preprocessing = Preprocessing((40, 30), 1, mode, None, (0.0,), (1.0,))
    box = np.array([[10.0, 20, 50, 60]])
    image = drawn(box, (80, 100))
    small = fit(image, (40, 30), mode=mode, fill=(0,))[:, :, 0] / 255
    (x0, y0, x1, y1) = fitted(box, (80, 100), preprocessing)[0]
    assert small.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.03)
    rows, columns = np.nonzero(small > 0.5)
    assert (columns.min(), rows.min()) == pytest.approx((x0, y0), abs=1)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x1, y1), abs=1)


def test_only_what_hides_is_listed(tmp_path):
    defects = Defects((np.array([[18.0, 18, 22, 22]]),), (40, 40))
    policy = Policy(
        "p", count=1, hflip=1.0, cutout=0.01,
        ops=(OpSpec("Invert"), OpSpec("TranslateX", 0.9, 0.9), OpSpec("Cutout", 0, 0)),
    )  # fmt: skip
    found = {v.element: v for v in audit_boxes(policy, defects, draws=4)}
    assert list(found) == ["TranslateX", "Cutout", "cutout", "whole policy"]
    assert (found["TranslateX"].mean, found["TranslateX"].hidden) == (0.0, 1.0)
    assert (found["Cutout"].mean, found["Cutout"].hidden) == (1.0, 0.0)
    assert found["cutout"].defects == 1
    write_visibility(tmp_path / "v.csv", list(found.values()))
    with (tmp_path / "v.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["share_below_half_visible"] == "1.0000"
    (tmp_path / "p.py").write_text("def augment(image, rng):\n    return image\n")
    assert audit_boxes(load_policy(str(tmp_path / "p.py")), defects) == []


def test_boxes_of_the_test_part_are_left_out(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        Image.new("L", (80, 40)).save(tmp_path / name)
    content = {
        "images": [
            {"id": i, "file_name": n, "width": 80, "height": 40}
            for i, n in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [8, 4, 8 + 8 * i, 4],
             "area": 32, "iscrowd": 0}
            for i in range(2)
        ],
        "categories": [{"id": 1, "name": "Dent"}],
    }  # fmt: skip
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    both = read_defects(tmp_path / "boxes.json", tmp_path, GREY)
    assert [len(b) for b in both.boxes] == [1, 1]  # c.png has no box
    assert both.smallest == (2.0, 4.0)
    one = read_defects(tmp_path / "boxes.json", tmp_path, GREY, without=["a.png"])
    assert one.boxes[0].tolist() == [[4.0, 12.0, 12.0, 14.0]]
    with pytest.raises(DataError, match="outside of the test part"):
        read_defects(tmp_path / "boxes.json", tmp_path, GREY, without=names)
