"""A split whose validation and test follow files that moved, went or changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from uda.data import splitfile
from uda.data.coarse import draw_with_coarse
from uda.data.records import Catalog, scan
from uda.data.refresh import follow_files, follow_labels
from uda.data.splits import Split, extend_split, make_split
from uda.errors import DataError
from uda.tree import good_against_rest


def refresh(split: Split, catalog: Catalog) -> tuple[Split, list[str]]:
    """What ``--refresh`` does before the split is extended."""
    followed, moved = follow_files(split, catalog)
    newer, notes = follow_labels(followed, catalog)
    return newer, [*moved, *notes]


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
    assert any("classes are called otherwise: Rust is Corrosion" in n for n in notes)
    assert not any("do not compare" in note for note in notes)  # they do


def test_nothing_changes_where_nothing_changed(begun):
    catalog, split = begun
    assert refresh(split, catalog) == (split, [])


def test_equal_files_find_a_place_each(tmp_path, begun):
    """One row of two goes where one file is left."""
    _, split = begun
    rows = split.part("test")[:2]
    for row in rows:
        (tmp_path / row.path).write_text("the same")
    before, _ = refresh(split, scan(tmp_path))
    for row in rows:
        (tmp_path / row.path).unlink()
    places = [tmp_path / "Good" / name for name in ("new.png", "other.png")]
    for place in places:
        place.write_text("the same")
    newer, notes = refresh(before, scan(tmp_path))
    assert {"Good/new.png", "Good/other.png"} <= {r.path for r in newer.part("test")}
    assert not any("dropped" in note for note in notes)
    places[0].unlink()
    newer, notes = refresh(before, scan(tmp_path))
    assert len(newer.part("test")) == len(split.part("test")) - 1
    assert sum("dropped" in note for note in notes) == 1


def test_one_image_of_another_class_is_no_other_name(tmp_path, begun):
    _, split = begun
    row = next(r for r in split.part("test") if r.label == "Rust")
    (tmp_path / row.path).rename(tmp_path / "Good" / "moved.png")
    newer, notes = refresh(split, scan(tmp_path))
    assert newer.by_path["Good/moved.png"].label == "Good"
    assert any("Good/moved.png was Rust" in note for note in notes)
    assert "do not compare" in notes[-1]


def test_another_image_in_the_place_of_a_test_image_is_told(tmp_path, begun):
    """The test image itself is elsewhere now, and must not train as a new one."""
    _, split = begun
    row = split.part("test")[0]
    (tmp_path / row.path).rename(tmp_path / "Good" / "renamed.png")
    (tmp_path / row.path).write_text("another one")
    catalog = scan(tmp_path)
    newer, notes = refresh(split, catalog)
    longer, _ = extend_split(newer, catalog, None)
    assert longer.by_path["Good/renamed.png"].part == "test"
    assert longer.by_path[row.path].part == "labeled"
    assert f"{row.path} is Good/renamed.png" in notes[0]


def test_changed_content_is_told(tmp_path, begun):
    _, split = begun
    row = split.part("validation")[0]
    (tmp_path / row.path).write_text("another one")
    newer, notes = refresh(split, scan(tmp_path))
    assert newer.by_path[row.path].sha256 != row.sha256
    assert row.path in notes[0]
    assert "other content" in notes[0]
    assert "do not compare" in notes[-1]


def test_the_folder_of_something_else_is_refused(tmp_path, begun):
    _, split = begun
    for name in ("Good", "Rust"):
        (tmp_path / "other" / name).mkdir(parents=True)
        (tmp_path / "other" / name / "x.png").write_text(f"other {name}")
    with pytest.raises(DataError, match="none of the test images is in the data"):
        refresh(split, scan(tmp_path / "other"))


def test_what_cannot_be_read_is_not_gone(begun, monkeypatch):
    catalog, split = begun
    path = split.part("test")[0].path
    real = splitfile._hash_or_none

    def closed(file):
        return None if str(file).endswith(path) else real(file)

    monkeypatch.setattr(splitfile, "_hash_or_none", closed)
    with pytest.raises(DataError, match=f"cannot be read: {path}"):
        refresh(split, catalog)


def test_a_renamed_folder_keeps_its_labels_held_back(tmp_path):
    for name in ("Good", "Rust"):
        (tmp_path / name).mkdir()
        for i in range(20):
            (tmp_path / name / f"{i}.png").write_text(f"{name} {i}")
    catalog = scan(tmp_path)
    groups = {r.path: f"{r.label}{i // 2}" for i, r in enumerate(catalog.records)}
    split, _ = make_split(catalog, groups, labels_per_class=3)
    (tmp_path / "Rust").rename(tmp_path / "Corrosion")
    catalog = scan(tmp_path)
    newer, _ = refresh(split, catalog)
    longer, _ = extend_split(newer, catalog, None)
    for part in ("labeled", "unlabeled"):
        assert len(longer.part(part)) == len(split.part(part))
    old = {r.sha256: (r.part, r.group) for r in split.rows}
    assert {r.sha256: (r.part, r.group) for r in longer.rows} == old


@pytest.mark.parametrize("part", ["test", "validation", "labeled"])
def test_an_image_that_is_of_unknown_type_now_trains_as_such(tmp_path, part):
    """Its label is a node of the tree: it cannot be asked about any more."""
    rows = [(f"{c}{i}.png", c) for c in ("Good", "Rust", "Dent") for i in range(12)]
    for path, _ in rows:
        (tmp_path / path).write_text(path)

    def written(labels):
        lines = ["path,label", *(f"{path},{label}" for path, label in labels)]
        (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
        return scan(tmp_path)

    catalog = written(rows)
    split, _ = make_split(catalog, None)
    row = next(r for r in split.part(part) if r.label == "Rust")
    catalog = written([(p, "Defect" if p == row.path else c) for p, c in rows])
    tree = good_against_rest("Good", catalog.classes)

    def draw(shown):
        newer, _ = follow_labels(split, shown)
        return extend_split(newer, shown, None)

    longer, _ = draw_with_coarse(draw, catalog, tree)
    assert (longer.by_path[row.path].part, longer.by_path[row.path].label) == (
        "labeled", "Defect",
    )  # fmt: skip
    longer.refuse_other_labels(catalog, "new.csv")


def test_a_row_without_a_hash_cannot_be_found_elsewhere(tmp_path, begun):
    _, split = begun
    row = split.part("test")[0]
    bare = Split(tuple(replace(r, sha256="") for r in split.rows))
    (tmp_path / row.path).rename(tmp_path / "Good" / "elsewhere.png")
    newer, notes = refresh(bare, scan(tmp_path))
    assert "Good/elsewhere.png" not in newer.by_path
    assert row.path in notes[0]
    assert "dropped" in notes[0]
