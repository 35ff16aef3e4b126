"""Defects in the report: measured, shown, warned of, and advised on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.inspect.test_report import build
from uda.cli import main
from uda.data.defects import DefectSize
from uda.inspect.advice import Facts, advise
from uda.inspect.defects import defect_parts


def boxes_of(folder: Path) -> Path:
    path = folder.parent / "boxes.json"
    images = [
        {"id": i, "file_name": f"Rust/{name}.png", "width": 80, "height": 80}
        for i, name in enumerate("ab")
    ]
    boxes = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 8, 40]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [9, 9, 12, 10]},
    ]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "Rust"}],
        "annotations": boxes,
    }
    path.write_text(json.dumps(content))
    return path


def test_the_command_measures_defects(tmp_path: Path) -> None:
    folder = build(tmp_path / "data")
    words = ["inspect", folder, "--boxes", boxes_of(folder), "--imgsz", "40x80"]
    out = tmp_path / "out"
    done = CliRunner().invoke(main, [str(w) for w in [*words, "--out", out, "-q"]])
    assert done.exit_code == 0, done.output
    assert "Shorter side of defects in pixels" in done.output
    assert "9.0/8.1" in done.output
    assert "Red: under 8 px" in done.output
    assert "Train at 96 px at least" in done.output
    found = json.loads((out / "inspect.json").read_text())["defects"]
    by_size = {str(one["size"]): one for one in found}
    assert by_size["None"]["smallest"] == 8
    assert by_size["[64, 64]"]["smallest"] == pytest.approx(6.4)
    assert by_size["[64, 64]"]["lost"]
    assert by_size["[40, 80]"]["median"] == pytest.approx(4.5)
    assert not by_size["[224, 224]"]["lost"]


def test_a_size_without_boxes_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["inspect", str(tmp_path), "--imgsz", "64"])
    assert done.exit_code == 2
    assert "give both" in done.output


def test_advice_on_size_follows_the_smallest_defects() -> None:
    def facts(small: float, side: float = 500) -> Facts:
        one = DefectSize("Pit", (64, 64), 20, 9.0, small, small)
        return Facts(counts={}, units={}, side=side, defects=(one,))

    titles = [advice.title for advice in advise(facts(4.0))]
    assert titles == ["Train at 128 px at least"]
    assert advise(facts(8.5)) == []
    (beyond,) = advise(facts(0.5))
    assert beyond.title == "Train at 512 px, all there is"
    assert "takes 1024 px and the images have 500" in beyond.reason


def test_no_boxes_no_table() -> None:
    assert list(defect_parts([])) == []
