from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tests.data.boxes.helpers import image, sample
from uda.data.boxes import side
from uda.data.boxes.model import BoxSet, Category
from uda.errors import DataError


def nothing(key):
    return False


def write(folder, boxes, **changes):
    options = {
        "inline": nothing, "image_inline": nothing, "categories_known": True,
    } | changes  # fmt: skip
    for name, raw in side.encode(boxes, **options).items():
        (folder / name).write_bytes(raw)


def bare(boxes):
    """What a format gives back that keeps boxes and labels alone."""
    images = [
        dataclasses.replace(i, extras=tuple({} for _ in i.extras), extra={})
        for i in boxes.images
    ]
    return dataclasses.replace(boxes, images=tuple(images[::-1]), extra={})


def test_extras_and_order_come_back(tmp_path):
    write(tmp_path, sample())
    found = side.attach(bare(sample()), side.load(tmp_path), tmp_path)
    assert [i.extras for i in found.images] == [i.extras for i in sample().images]
    assert [i.extra for i in found.images] == [i.extra for i in sample().images]
    assert found.extra == sample().extra
    assert found.notes == ()


def test_a_box_that_was_edited_loses_its_extras_and_no_other_does(tmp_path):
    write(tmp_path, sample())
    changed = bare(sample())
    first = changed.images[-1]
    boxes = first.boxes[::-1].copy()  # reordered, and one of them moved
    boxes[0] += 1
    edited = dataclasses.replace(first, boxes=boxes, labels=first.labels[::-1])
    images = (*changed.images[:-1], edited)
    changed = dataclasses.replace(changed, images=images)
    found = side.attach(changed, side.load(tmp_path), tmp_path)
    assert [extra.get("id") for extra in found.images[0].extras] == [None, 7, 40]
    assert "1 boxes were changed" in found.notes[0]


def test_equal_boxes_keep_their_own_extras(tmp_path):
    twins = image("one.png", [[1, 1, 5, 5]] * 3, [0] * 3, [{"id": i} for i in range(3)])
    boxes = BoxSet((twins,), (Category("pit"),))
    write(tmp_path, boxes)
    found = side.attach(bare(boxes), side.load(tmp_path), tmp_path)
    assert [extra["id"] for extra in found.images[0].extras] == [0, 1, 2]


def test_only_what_would_be_lost_is_written(tmp_path):
    plain = BoxSet((image("one.png", [[1, 1, 5, 5]], [0]),), (Category("pit"),))
    write(tmp_path, plain)
    assert side.load(tmp_path) is None
    flagged = image("one.png", [[1, 1, 5, 5]], [0], [{"pose": "Left"}])
    inline = dataclasses.replace(plain, images=(flagged,))
    write(tmp_path, inline, inline={"pose"}.__contains__)
    assert side.load(tmp_path) is None
    write(tmp_path, plain, voc_base=1)
    assert side.load(tmp_path).voc_base == 1


@pytest.mark.parametrize(
    "content",
    [
        "[]", "{}", '{"format": "other"}',
        '{"format": "uda-boxes-extra-1", "categories": 3, "images": {}, "extra": {}}',
    ],
)  # fmt: skip
def test_a_broken_side_file_is_named(tmp_path, content):
    (tmp_path / side.FILE).write_text(content)
    with pytest.raises(DataError, match=r"boxes_extra\.json: is not a side file"):
        side.load(tmp_path)


def test_a_broken_entry_is_named(tmp_path):
    write(tmp_path, sample())
    content = json.loads((tmp_path / side.FILE).read_text())
    content["images"]["one.png"]["boxes"][0]["at"] = "here"
    (tmp_path / side.FILE).write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"the entry of one\.png is broken"):
        side.attach(bare(sample()), side.load(tmp_path), tmp_path)
    assert np.isfinite(sample().images[0].boxes).all()
