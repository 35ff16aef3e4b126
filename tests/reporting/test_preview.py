"""Which images may be looked at, and where their boxes lie after resizing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from uda.data.pool import build_pool
from uda.data.records import scan
from uda.data.splits import make_split
from uda.errors import DataError, UsageError
from uda.reporting.preview import find_records, fitted_boxes


def write(path, height=20, width=30, box=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(str(path).encode())).integers(
        0, 60, (height, width), dtype=np.uint8
    )
    if box:
        x0, y0, x1, y1 = box
        pixels[y0:y1, x0:x1] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def classes(tmp_path):
    root = tmp_path / "data"
    for label in ("Good", "Rust"):
        for number in range(20):
            write(root / label / f"{number:02}.png")
    return root


def test_class_folders_parts_manifest_and_flat(classes, tmp_path):
    assert len(find_records(classes)) == 40
    flat = find_records(classes / "Rust")
    assert len(flat) == 20
    assert {record.label for record in flat} == {None}
    parts = tmp_path / "parts"
    for part in ("train", "test"):
        write(parts / part / "Good" / "a.png")
        write(parts / part / "Rust" / "b.png")
    assert {r.path.split("/")[0] for r in find_records(parts)} == {"train"}
    manifest = parts / "manifest.csv"
    manifest.write_text("path,label\ntrain/Good/a.png,Good\ntrain/Rust/b.png,Rust\n")
    assert len(find_records(manifest)) == 2


def test_the_test_part_is_never_shown(classes, tmp_path):
    catalog = scan(classes)
    split, _ = make_split(catalog, None, seed=0)
    split.save(tmp_path / "split.csv")
    found = {r.path for r in find_records(classes, split=tmp_path / "split.csv")}
    hidden = {row.path for row in split.part("test")}
    assert hidden
    assert found == {row.path for row in split.rows} - hidden
    with pytest.raises(UsageError, match="--split"):
        find_records(tmp_path / "split.csv")
    only = tmp_path / "only"
    write(only / "test" / "Good" / "a.png")
    write(only / "test" / "Rust" / "a.png")
    with pytest.raises(DataError, match="test part alone"):
        find_records(only)


@pytest.mark.parametrize("mode", ["letterbox", "squash"])
@pytest.mark.parametrize("size", [(40, 40), (20, 60), (64, 48)])
def test_boxes_follow_the_resizing(tmp_path, mode, size):
    root, box = tmp_path / "data", (6, 4, 18, 12)
    write(root / "Rust" / "a.png", box=box)
    write(root / "Good" / "b.png")
    content = {
        "images": [{"id": 1, "file_name": "Rust/a.png", "width": 30, "height": 20}],
        "categories": [{"id": 1, "name": "Rust"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [6, 4, 12, 8]}
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    pool = build_pool(
        find_records(root), size=size, mode=mode, cache=tmp_path / "cache"
    )
    found = fitted_boxes(tmp_path / "boxes.json", root, pool)
    assert list(found) == ["Rust/a.png"]
    ((x0, y0, x1, y1),) = found["Rust/a.png"]
    rows, columns, _ = np.nonzero(pool.images[pool.index["Rust/a.png"]] > 150)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (x0, y0, x1, y1) == pytest.approx(seen, abs=1.6)


def test_paths_beside_the_annotations_are_found_and_strangers_refused(tmp_path):
    write(tmp_path / "images" / "a.png")
    entry = {"id": 1, "file_name": "images/a.png", "width": 30, "height": 20}
    content = {
        "images": [entry],
        "categories": [{"id": 1, "name": "Rust"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [6, 4, 12, 8]}
        ],
    }
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(content))
    images = tmp_path / "images"
    pool = build_pool(find_records(images), size=(20, 30), cache=tmp_path / "cache")
    assert fitted_boxes(file, images, pool) == {"a.png": [(6.0, 4.0, 18.0, 12.0)]}
    file.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(DataError, match="no box of an image"):
        fitted_boxes(file, images, pool)
