from __future__ import annotations

import dataclasses
import itertools
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.boxes.helpers import (
    SIZES,
    assert_same,
    plain,
    rules,
    sample,
    write_files,
    write_images,
)
from uda.data.boxes.model import BoxedImage, BoxSet, Category
from uda.data.boxfiles import FORMATS, encode_boxes, find_format, read_boxes
from uda.errors import DataError, UsageError


def there_and_back(boxes, kind, folder, images, **options):
    write_files(folder, encode_boxes(boxes, kind, **options))
    found, told = read_boxes(folder, rules(images))
    assert told == kind
    return found


def without_defaults(boxes):
    """COCO writes area and iscrowd where a box has none."""
    images = []
    for image in boxes.images:
        extras = [
            {k: v for k, v in e.items() if k != "area" and (k, v) != ("iscrowd", 0)}
            for e in image.extras
        ]
        images.append(dataclasses.replace(image, extras=tuple(extras)))
    return dataclasses.replace(boxes, images=tuple(images))


def numbered(boxes):
    """COCO numbers boxes without an id: keep the ones the sample gave."""
    images = []
    for image in boxes.images:
        extras = [{k: v for k, v in e.items() if k != "id"} for e in image.extras]
        images.append(dataclasses.replace(image, extras=tuple(extras)))
    return dataclasses.replace(boxes, images=tuple(images))


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(FORMATS, repeat=2))
)
def test_between_any_two_formats_nothing_is_lost(tmp_path, first, second):
    images = write_images(tmp_path / "images")
    once = there_and_back(sample(), first, tmp_path / "a", images)
    twice = there_and_back(once, second, tmp_path / "b", images)
    again = there_and_back(twice, first, tmp_path / "c", images)
    for found in (once, twice, again):
        found = without_defaults(found)
        assert_same(numbered(found), numbered(sample()))
        ids = [extra.get("id") for extra in found.images[0].extras]
        assert ids == [40, 7, 9]
    assert (tmp_path / "a" / "boxes_extra.json").exists() is (first != "coco")


@pytest.mark.parametrize("kind", ["coco", "yolo", "corners"])
def test_a_name_that_is_not_utf8_comes_back(tmp_path, kind):
    name = os.fsdecode(b"ri\xdf \\u00e4.png")
    images = write_images(tmp_path / "images", {name: (8, 8)})
    box = BoxedImage(name, 8, 8, np.array([[1.0, 2, 3, 4]]), (0,), ({"id": 5},))
    found = there_and_back(
        BoxSet((box,), (Category("pit"),)), kind, tmp_path / "a", images
    )
    assert found.images[0].path == name
    assert found.images[0].extras[0]["id"] == 5


@pytest.mark.parametrize("kind", FORMATS)
def test_a_plain_set_needs_no_side_file(tmp_path, kind):
    images = {i.path: (i.width, i.height) for i in plain().images}
    folder = write_images(tmp_path / "images", images)
    found = there_and_back(plain(), kind, tmp_path / "a", folder)
    assert not (tmp_path / "a" / "boxes_extra.json").exists()
    assert_same(found, plain(), extras=False)


def test_images_that_were_not_in_a_set_do_not_join_it_as_empty_ones(tmp_path):
    images = write_images(tmp_path / "images", SIZES | {"other.png": (9, 9)})
    found = there_and_back(sample(), "yolo", tmp_path / "a", images)
    assert [image.path for image in found.images] == list(SIZES)


def test_voc_counted_from_one_comes_back(tmp_path):
    images = write_images(tmp_path / "images")
    found = there_and_back(sample(), "voc", tmp_path / "a", images, voc_base=1)
    assert_same(found, sample())
    assert "<xmin>1</xmin>" in (tmp_path / "a/annotations/one.xml").read_text()


coordinates = st.tuples(
    st.floats(0, 0.999), st.floats(0, 0.999), st.floats(1e-4, 1), st.floats(1e-4, 1)
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    boxes=st.lists(coordinates, min_size=1, max_size=5),
    kinds=st.lists(st.sampled_from(FORMATS), min_size=1, max_size=4),
)
def test_any_chain_of_formats_keeps_boxes_to_a_millionth(tmp_path, boxes, kinds):
    name = "sub folder/zwei ä.png"
    width, height = SIZES[name]
    images = write_images(tmp_path / "images", {name: SIZES[name]})
    array = np.array(
        [
            [x * width, y * height, min(1, x + w) * width, min(1, y + h) * height]
            for x, y, w, h in boxes
        ]
    )
    labels, extras = (0,) * len(array), ({},) * len(array)
    image = BoxedImage(name, width, height, array, labels, extras)
    found = BoxSet((image,), (Category("pit"),))
    for place, kind in enumerate(kinds):
        found = there_and_back(found, kind, tmp_path / f"{place}{kind}", images)
    np.testing.assert_allclose(found.images[0].boxes, array, atol=1e-6, rtol=0)


def test_border_boxes_rounded_to_six_digits_are_kept(tmp_path):
    images = write_images(tmp_path / "images", {"one.png": (641, 479)})
    generator = np.random.default_rng(0)
    lines = []
    for _ in range(500):
        x0, y0 = generator.uniform(0, 0.9, 2)
        w, h = 1 - x0, 1 - y0  # touches the right and the lower border
        lines.append(f"0 {x0 + w / 2:.6f} {y0 + h / 2:.6f} {w:.6f} {h:.6f}")
    folder = tmp_path / "labels"
    write_files(folder, {"one.txt": "\n".join(lines).encode(), "classes.txt": b"pit"})
    found, _ = read_boxes(folder, rules(images))
    assert found.num_boxes == 500
    assert found.images[0].boxes.max(axis=0)[2] <= 641


def test_deeppcb_goes_around_with_nothing_lost(real_data, tmp_path):
    home = real_data / "deeppcb"
    if not (home / "instances_coco.json").is_file():
        pytest.skip("deeppcb is missing: set UDA_DATA to the folder that holds it")
    first, _ = read_boxes(home / "instances_coco.json", rules(home))
    assert first.num_boxes == 10_013
    found = first
    for kind in ("yolo", "voc", "corners", "coco"):
        found = there_and_back(found, kind, tmp_path / kind, home)
        assert_same(found, first)
    before = json.loads((home / "instances_coco.json").read_text())
    after = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    by_id = {entry["id"]: entry for entry in after["annotations"]}
    assert [by_id[entry["id"]] for entry in before["annotations"]] == before[
        "annotations"
    ]
    assert after["images"] == before["images"]
    assert after["categories"] == before["categories"]
    assert after["info"] == before["info"]


def test_finding_the_format(tmp_path):
    write_files(tmp_path / "v", {"deep/a.xml": b"<a/>"})
    write_files(tmp_path / "y", {"a.txt": b""})
    write_files(tmp_path / "two", {"boxes.csv": b"", "annotations.json": b""})
    (tmp_path / "none").mkdir()
    (tmp_path / "picture.png").touch()
    assert find_format(tmp_path / "v")[0] == "voc"
    assert find_format(tmp_path / "y")[0] == "yolo"
    assert find_format(tmp_path / "v/deep/a.xml") == ("voc", tmp_path / "v/deep/a.xml")
    with pytest.raises(UsageError, match=r"several formats; give one of .*boxes\.csv"):
        find_format(tmp_path / "two")
    for name, message in [
        ("none", "holds no annotations"),
        ("picture.png", "annotations are"),
        ("nowhere", "no such file"),
    ]:
        with pytest.raises(DataError, match=message):
            find_format(tmp_path / name)


def test_a_folder_of_images_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="no such folder of images"):
        read_boxes(tmp_path, rules(tmp_path / "nowhere"))


def test_an_empty_set_is_refused(tmp_path):
    write_files(tmp_path, {"boxes.csv": b"path,label,x0,y0,x1,y1\n"})
    with pytest.raises(DataError, match="names no image"):
        read_boxes(tmp_path, rules(tmp_path))
