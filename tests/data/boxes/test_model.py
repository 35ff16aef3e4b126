from __future__ import annotations

import math

import numpy as np
import pytest

from tests.data.boxes.helpers import rules, write_images
from uda.data.boxes.model import (
    BoxedImage,
    Category,
    RawBox,
    RawImage,
    assemble,
    number,
    unscaled,
)
from uda.errors import DataError

PIT = [Category("pit")]


def build(folder, *values, label="pit", path="one.png", **changes):
    boxes = [RawBox(f"f.json, annotation {i}", v, label) for i, v in enumerate(values)]
    images = write_images(folder)
    strict = rules(images, **changes)
    return assemble([RawImage("f.json", path, boxes, None)], PIT, strict)


def test_boxes_at_the_border_are_kept_for_any_rounding(tmp_path):
    found = build(
        tmp_path, (0, 0, 64, 48), (-1e-9, 0, 64.0000003, 48), (-0.9, 1, 5, 48.99)
    )
    assert found.num_boxes == 3
    assert found.images[0].boxes.tolist() == [
        [0, 0, 64, 48], [0, 0, 64, 48], [0, 1, 5, 48],
    ]  # fmt: skip
    assert found.notes == ()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 66, 10), "f.json, annotation 0: .* reaches out of the image of 64x48"),
        ((70, 50, 80, 60), "reaches out of the image"),
        ((5, 5, 5, 9), "has no area"),
        ((9, 5, 3, 9), "negative width or height .*swap the corners"),
        ((math.nan, 0, 1, 1), "not a finite number"),
        ((0, 0, math.inf, 1), "not a finite number"),
    ],
)
def test_bad_boxes_are_named(tmp_path, box, message):
    with pytest.raises(DataError, match=message):
        build(tmp_path, box)


def test_repair_cuts_and_leaves_out(tmp_path):
    found = build(
        tmp_path, (-5, 3, 70, 9), (80, 3, 90, 9), (3, 3, 3, 9), invalid="repair"
    )
    assert found.images[0].boxes.tolist() == [[0, 3, 64, 9]]
    assert "1 boxes reached out" in found.notes[0]
    assert "2 without area" in found.notes[0]
    with pytest.raises(DataError, match="finite"):
        build(tmp_path, (0, 0, math.nan, 1), invalid="repair")


def test_several_faults_in_one_message_and_no_more_than_five(tmp_path):
    with pytest.raises(DataError) as caught:
        build(tmp_path, *[(9, 9, 1, 1)] * 8)
    text = str(caught.value)
    assert "annotation 4" in text
    assert "annotation 5" not in text
    assert "and 3 more" in text


def test_images_that_do_not_fit(tmp_path):
    images = rules(write_images(tmp_path))
    cases = [
        (RawImage("f", "gone.png", []), "missing.*--images"),
        (RawImage("f", "../one.png", []), "stay inside"),
        (RawImage("f", "/etc/passwd", []), "stay inside"),
        (RawImage("f", "one.png", [], (640, 480)), "64x48; was it resized"),
        (RawImage("f", "one.png", [], (48, 64)), "turned by its EXIF tag"),
    ]
    for raw, message in cases:
        with pytest.raises(DataError, match=message):
            assemble([raw], PIT, images)
    twice = [RawImage("a.xml", "one.png", []), RawImage("b.xml", "one.png", [])]
    with pytest.raises(DataError, match=r"b\.xml: .*listed twice \(also in a\.xml"):
        assemble(twice, PIT, images)


def test_a_folder_too_deep_or_too_shallow_is_recognised(tmp_path):
    write_images(tmp_path / "images" / "images")
    deep = RawImage("f", "images/one.png", [])
    for folder, meant in (
        (tmp_path, tmp_path / "images"),
        (tmp_path / "images" / "images", tmp_path / "images"),
    ):
        with pytest.raises(DataError) as caught:
            assemble([deep], PIT, rules(folder))
        assert f"give --images {meant}, which" in str(caught.value)
        assert "scan again" not in str(caught.value)


def test_classes_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match=r"'rust' is not listed; the classes are pit"):
        build(tmp_path, (0, 0, 5, 5), label="rust")
    with pytest.raises(DataError, match="pit: the class is listed twice"):
        assemble([], PIT * 2, rules(tmp_path))


def test_numbers_for_people():
    assert repr(number(3.0)) == "3"
    assert number(np.float64(2.5)) == 2.5
    assert unscaled(466 / 640, 640) == 466


def test_fields_of_different_length_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="differ in number"):
        BoxedImage("a", 1, 1, np.zeros((1, 4)), (), ())
