from __future__ import annotations

import json

import pytest

from tests.data.boxes.helpers import rules, sample, write_files, write_images
from uda.data.boxes import coco
from uda.errors import DataError

GOOD = {
    "images": [{"id": 1, "file_name": "one.png", "width": 64, "height": 48}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 2, "name": "pit"}],
}


def read(folder, content):
    path = folder / "a.json"
    raw = content if isinstance(content, str) else json.dumps(content)
    path.write_text(raw)
    return coco.read(path, rules(write_images(folder / "i")))


def test_reads_corners_from_width_and_height(tmp_path):
    found = read(tmp_path, GOOD)
    assert found.images[0].boxes.tolist() == [[1, 2, 4, 6]]
    assert found.images[0].extras == ({"id": 5},)
    assert found.images[0].extra == {"id": 1}


def edited(**changes):
    content = json.loads(json.dumps(GOOD))
    for key, value in changes.items():
        kind, _, field = key.partition("__")
        if field:
            content[kind][0][field] = value
        elif value is None:
            del content[kind]
        else:
            content[kind] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.json: cannot be read as JSON .*cut short"),
        ("[]", "one JSON object"),
        ("[" * 100_000, "nested too deeply|cannot be read"),
        (edited(annotations=None), "needs a list of objects 'annotations'"),
        (edited(images=[3]), "needs a list of objects 'images'"),
        (edited(images=GOOD["images"] * 2), "image id 1: the id comes twice"),
        (
            edited(annotations=GOOD["annotations"] * 2),
            "annotation id 5: the id comes twice",
        ),
        (edited(categories=GOOD["categories"] * 2), "category id 2: the id comes"),
        (
            edited(annotations__image_id=9),
            "annotation id 5: image_id 9 is not .*remove",
        ),
        (edited(annotations__category_id=[]), r"category_id \[\] is not among"),
        (
            edited(annotations__category_id=7),
            r"category_id 7 is not among .*\(2.*add the category",
        ),
        (edited(annotations__bbox=[1, 2, 3]), "bbox must be four numbers"),
        (edited(annotations__bbox=[1, 2, "3", 4]), "bbox must be four numbers"),
        (edited(annotations__bbox=[1, 2, 10**400, 4]), "bbox must be four numbers"),
        (edited(annotations__bbox=[1, 2, float("nan"), 4]), "id 5 .*not a finite"),
        (edited(annotations__bbox=[1, 2, -3, 4]), "id 5 .*one.png.*negative width"),
        (edited(images__file_name=None), "image id 1: has no file_name"),
        (edited(images__width=10**400, images__file_name="no.png"), "is missing"),
        (edited(images__file_name="no.png"), "the file is missing"),
        (edited(images__id=None), "image 1: has no id"),
        (edited(categories=[{"id": 2}]), "category id 2: has no name"),
    ],
)
def test_faults_name_file_and_annotation(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_crowds_ids_and_information_are_kept(tmp_path):
    write_files(tmp_path, coco.encode(sample()))
    content = json.loads((tmp_path / "annotations.json").read_text())
    assert content["info"] == {"year": 2026}
    assert content["annotations"][0]["iscrowd"] == 1
    assert [entry["id"] for entry in content["annotations"]] == [40, 7, 9, 8, 41]
    assert [entry["id"] for entry in content["categories"]] == [90, 3, 4, 5]
    assert content["annotations"][2]["bbox"] == [5, 5, 1, 1]
    assert "5.0" not in json.dumps(content["annotations"][2])


def test_a_file_of_windows_is_read(tmp_path):
    (tmp_path / "i" / "sub").mkdir(parents=True)
    images = write_images(tmp_path / "i", {"sub/one.png": (64, 48)})
    content = json.dumps(edited(images__file_name="sub\\one.png"))
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert coco.read(path, rules(images)).images[0].path == "sub/one.png"
