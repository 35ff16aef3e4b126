"""Before a run: a word where the image size loses defects, and silence elsewhere."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from uda.errors import DataError
from uda.training.configure import build_config
from uda.training.defects import warn_of_small_defects


@pytest.fixture
def boxes(tmp_path):
    Image.new("L", (256, 256)).save(tmp_path / "a.png")
    path = tmp_path / "boxes.json"
    annotations = {
        "images": [{"id": 1, "file_name": "a.png", "width": 256, "height": 256}],
        "categories": [{"id": 1, "name": "Pit"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 24]}
        ],
    }
    path.write_text(json.dumps(annotations))
    return path


def told(boxes, **data):
    keys = {"data.root": str(boxes.parent), "data.boxes": str(boxes)}
    lines: list[str] = []
    config = build_config({**keys, **{f"data.{k}": v for k, v in data.items()}})
    warn_of_small_defects(config, SimpleNamespace(warn=lines.append))
    return lines


def test_the_size_that_loses_defects_is_named(boxes):
    (line,) = told(boxes, size=(64, 64))
    assert "64x64" in line
    assert told(boxes, size=(128, 128)) == []


def test_each_of_several_sizes_and_the_whole_of_tiles_counts(boxes):
    lines = told(boxes, sizes=((48, 48, 0.2), (64, 64, 0.3), (128, 128, 0.5)))
    assert [line.split()[1] for line in lines] == ["48x48", "64x64"]
    tiles = {"tiles": (2, 2), "background": "Good"}
    assert told(boxes, size=(64, 64), **tiles) == []


def test_without_boxes_nothing_is_said_and_bad_ones_are_named(boxes, tmp_path):
    warn_of_small_defects(build_config({}), SimpleNamespace(warn=None))
    with pytest.raises(DataError, match=r"none\.json"):
        told(tmp_path / "none.json")


def test_a_bad_file_leaves_no_run(quick, tmp_path):
    with pytest.raises(DataError, match=r"none\.json"):
        quick({"data.boxes": str(tmp_path / "none.json")}, name="never")
    assert not (tmp_path / "runs" / "never").exists()
