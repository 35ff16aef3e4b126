"""A split whose validation and test follow files that moved, went or changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from uda.data.records import Catalog, scan
from uda.data.refresh import refresh
from uda.data.splits import Split, extend_split, make_split


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Catalog, Split]:
    for name in ("Good", "Rust"):
        (tmp_path / name).mkdir()
        for i in range(12):
            (tmp_path / name / f"{i}.png").write_text(f"{name} {i}")
    catalog = scan(tmp_path)
    return catalog, make_split(catalog, None)[0]


def test_a_renamed_class_folder_keeps_its_test_images(tmp_path, begun):
    _, split = begun
    (tmp_path / "Rust").rename(tmp_path / "Corrosion")
    catalog = scan(tmp_path)
    newer, notes = refresh(split, catalog)
    longer, _ = extend_split(newer, catalog, None)
    assert longer.verify(catalog) == []
    for part in ("test", "validation", "labeled"):
        renamed = [row.path.replace("Rust", "Corrosion") for row in split.part(part)]
        assert [row.path for row in longer.part(part)] == sorted(renamed)
    assert {row.label for row in longer.rows} == {"Good", "Corrosion"}
    assert any("have another place" in note for note in notes)


def test_nothing_changes_where_nothing_changed(begun):
    catalog, split = begun
    assert refresh(split, catalog) == (split, [])


def test_two_equal_files_take_two_places(tmp_path, begun):
    """Each row finds a file of its own, and a third one goes."""
    _, split = begun
    rows = split.part("test")[:2]
    for row in rows:
        (tmp_path / row.path).write_text("the same")
    before, _ = refresh(split, scan(tmp_path))
    for row in rows:
        (tmp_path / row.path).unlink()
    (tmp_path / "Good" / "new.png").write_text("the same")
    newer, notes = refresh(before, scan(tmp_path))
    found = {row.path for row in newer.part("test")}
    assert "Good/new.png" in found
    assert len(found) == len(split.part("test")) - 1
    assert sum("dropped" in note for note in notes) == 1
    assert sum("another place" in note for note in notes) == 1


def test_a_row_without_a_hash_cannot_be_found_elsewhere(tmp_path, begun):
    _, split = begun
    row = split.part("test")[0]
    bare = Split(tuple(replace(r, sha256="") for r in split.rows))
    (tmp_path / row.path).rename(tmp_path / "Good" / "elsewhere.png")
    newer, notes = refresh(bare, scan(tmp_path))
    assert "Good/elsewhere.png" not in newer.by_path
    assert row.path in notes[0]
    assert "dropped" in notes[0]
