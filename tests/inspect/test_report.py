"""The whole inspection on a small folder whose truth is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_detail import texture
from uda.data.groups import resolve_groups
from uda.data.records import scan
from uda.inspect.report import Inspection, inspect_data


def build(folder: Path) -> Path:
    """Twelve Good, three Rust (two crops of one photo), copies, a broken file."""
    for name in ("Good", "Rust"):
        (folder / name).mkdir(parents=True)
    for i in range(12):
        Image.fromarray(texture(i, (80, 80))).save(folder / "Good" / f"{i:02}.png")
    photo = texture(50, (130, 130))
    Image.fromarray(photo[:80, :80]).save(folder / "Rust" / "a.png")
    Image.fromarray(photo[25:105, 20:100]).save(folder / "Rust" / "b.png")
    Image.fromarray(texture(0, (80, 80))).save(folder / "Rust" / "c.png")
    (folder / "Rust" / "d.png").write_bytes(b"broken")
    return folder


def add_pool(folder: Path) -> Path:
    folder.mkdir()
    for i in range(6):
        bright = np.clip(texture(80 + i, (60, 90)).astype(int) + 70, 0, 255)
        Image.fromarray(bright.astype(np.uint8)).save(folder / f"u{i}.png")
    return folder


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    home = tmp_path_factory.mktemp("inspect")
    return inspect_data(build(home / "data"), unlabeled=[add_pool(home / "pool")])


def test_everything_is_found(inspection: Inspection) -> None:
    value = inspection.as_dict()
    assert value["images"] == 22
    assert value["unlabeled"] == 6
    assert [c["groups"] for c in value["classes"]] == [12, 3]
    assert value["skipped"][0]["path"] == "Rust/d.png"
    assert value["conflicts"] == [
        {"paths": ["Good/00.png", "Rust/c.png"], "labels": ["Good", "Rust"]}
    ]
    assert value["groups"]["pairs"] == {"exact": 1, "shifted": 1}
    assert value["groups"]["used"] == "found automatically"
    assert value["dominant_colors"] == {}
    shifts = {s["name"]: s for s in value["unlabeled_against_labeled"]}
    assert shifts["brightness"]["distance"] == 1.0
    assert value["claims"]["units_for_escape_1_percent"] == 299
    titles = [advice["title"] for advice in value["advice"]]
    assert titles[0] == "Decide the label of identical images"
    json.dumps(value)


def test_files_are_written(inspection: Inspection, tmp_path: Path) -> None:
    inspection.save(tmp_path / "out")
    with (tmp_path / "out" / "groups.csv").open(newline="") as stream:
        rows = {row["path"]: row["group"] for row in csv.DictReader(stream)}
    assert rows["Rust/a.png"] == rows["Rust/b.png"]
    assert len(rows) == 22
    assert (tmp_path / "out" / "groups.png").stat().st_size > 1000
    stored = json.loads((tmp_path / "out" / "inspect.json").read_text())
    assert stored["images"] == 22


def test_a_column_beats_auto_and_parts_are_compared(tmp_path: Path) -> None:
    folder = build(tmp_path / "data")
    (folder / "Rust" / "d.png").unlink()
    lines = ["path,label,group,split"]
    for path in sorted(folder.rglob("*.png")):
        relative = path.relative_to(folder).as_posix()
        part = "test" if path.name in ("b.png", "03.png") else "train"
        lines.append(f"{relative},{path.parent.name},{path.stem},{part}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = inspect_data(folder)
    assert found.group_source == "column group"
    assert found.agreement is not None
    assert found.agreement.proved_pairs == 2
    assert found.as_dict()["pairs_across_parts"]["pairs"] == {"test - training": 1}


def test_what_is_found_is_joined_with_the_column_as_in_a_split(tmp_path: Path) -> None:
    """Photos that the column joins, and crops that pixels join, are a unit each."""
    folder = build(tmp_path / "data")
    (folder / "Rust" / "d.png").unlink()
    lines = ["path,label,group"]
    for path in sorted(folder.rglob("*.png")):
        group = "part" if path.stem in ("05", "06", "07") else path.stem
        name = path.relative_to(folder).as_posix()
        lines.append(f"{name},{path.parent.name},{group}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = inspect_data(folder, group="auto")
    assert found.group_source == "column group, joined with what is found"
    # Twelve with three of one part; a.png and b.png, and c.png, a copy of a Good one.
    assert [support.groups for support in found.support] == [10, 2]
    catalog = scan(folder)
    units = resolve_groups(catalog, "auto")
    assert found.group_names == [units[record.path] for record in catalog.records]


def several(folder: Path) -> Path:
    """Thirty images: 18 show rust, 6 of them a scratch too, 6 nothing, 6 unread."""
    rows = ["path,label"]
    for i in range(30):
        label = ("Rust", "Rust|Scratch", "none", "", "Rust")[i % 5]
        Image.fromarray(texture(i, (40, 40))).save(folder / f"{i:02}.png")
        rows.append(f"{i:02}.png,{label}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_several_labels_count_for_each_class(tmp_path: Path) -> None:
    value = inspect_data(several(tmp_path), multi_label=True).as_dict()
    assert {c["name"]: c["images"] for c in value["classes"]} == {
        "Rust": 18, "Scratch": 6
    }  # fmt: skip
    assert value["counts_per_part"]["(no class)"] == {"all": 6}
    assert value["counts_per_part"]["(unlabelled)"] == {"all": 6}
    assert value["imbalance_ratio"] == 3.0
