from __future__ import annotations

import csv
from pathlib import Path

import pytest

from uda.data.records import Record, scan
from uda.errors import DataError, UsageError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def test_class_folders(tmp_path):
    root = touch(tmp_path, "Rust/1.png", "Good/1.png", "Good/2.JPG")
    catalog = scan(root)
    assert catalog.layout == "class folders"
    assert catalog.classes == ("Good", "Rust")
    assert catalog.class_counts == {"Good": 2, "Rust": 1}
    assert catalog.records[0] == Record("Good/1.png", root, "Good")
    assert all(record.file.is_file() for record in catalog.records)
    assert catalog.by_path["Rust/1.png"].label == "Rust"
    assert catalog.groups() == {}


def test_manifest_by_folder_and_by_file(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.png", "extra.png")
    text = "path,label,split,group\nb.png,01,train,g\na.png,NO,test,\nc.png,,,\n"
    (tmp_path / "manifest.csv").write_text(text)
    catalog = scan(tmp_path)
    assert catalog.layout == "manifest"
    assert [r.path for r in catalog.records] == ["a.png", "b.png", "c.png"]
    assert catalog.classes == ("01", "NO")
    assert catalog.groups() == {"b.png": "g"}
    assert catalog.columns == ("path", "label", "split", "group")
    assert "1 images" in catalog.notes[0]
    assert "extra.png" in catalog.notes[0]
    other = (tmp_path / "manifest.csv").rename(tmp_path / "list.csv")
    assert scan(other).records == catalog.records
    assert scan(tmp_path / "list.csv", group_column="split").groups() == {
        "a.png": "test",
        "b.png": "train",
    }


def test_extra_folders_keep_their_own_root(tmp_path):
    root = touch(tmp_path / "data", "A/1.png", "B/1.png")
    one = touch(tmp_path / "one", "1.png", "deep/er/2.png")
    two = touch(tmp_path / "two", "1.png")
    catalog = scan(root, unlabeled=[one, two])
    extra = [r for r in catalog.records if r.label is None]
    assert [r.path for r in extra] == ["@0/1.png", "@0/deep/er/2.png", "@1/1.png"]
    assert [r.file.read_bytes().decode() for r in extra] == [
        *("1.png", "deep/er/2.png", "1.png")
    ]
    assert extra[0].root == one.resolve()


def test_extra_folder_inside_the_data_is_no_class(tmp_path):
    root = touch(tmp_path, "A/1.png", "B/1.png", "pile/2.png")
    catalog = scan(root, unlabeled=[root / "pile"])
    assert catalog.classes == ("A", "B")
    assert [r.path for r in catalog.records if r.label is None] == ["pile/2.png"]
    assert all(r.file.is_file() for r in catalog.records)


def test_extra_folder_that_holds_the_data_takes_only_the_rest(tmp_path):
    root = touch(tmp_path / "data", "A/1.png", "B/1.png")
    touch(tmp_path, "other/2.png")
    catalog = scan(root, unlabeled=[tmp_path])
    assert [r.path for r in catalog.records if r.label is None] == ["@0/other/2.png"]


def test_the_same_folder_twice_counts_once(tmp_path):
    root = touch(tmp_path / "data", "A/1.png", "B/1.png")
    pile = touch(tmp_path / "pile", "2.png")
    catalog = scan(root, unlabeled=[pile, pile])
    assert len(catalog.records) == 3
    assert "count once" in " ".join(catalog.notes)


def test_a_data_folder_called_like_an_extra_one(tmp_path):
    root = touch(tmp_path / "data", "@0/1.png", "B/1.png")
    assert scan(root).by_path["@0/1.png"].file.is_file()
    pile = touch(tmp_path / "pile", "1.png")
    with pytest.raises(DataError, match=r"@0/1\.png: this name stands for an extra"):
        scan(root, unlabeled=[pile])


def test_extra_folders_that_are_empty_or_missing(tmp_path):
    root = touch(tmp_path / "data", "A/1.png", "B/1.png")
    (tmp_path / "pile").mkdir()
    with pytest.raises(DataError, match="pile: no images for --unlabeled; expected"):
        scan(root, unlabeled=[tmp_path / "pile"])
    with pytest.raises(DataError, match="none: no such folder of unlabelled images"):
        scan(root, unlabeled=[tmp_path / "none"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no labelled image"),
        (["1.png", "2.png"], "no labelled image .*outside of a class folder"),
        (["Good/1.png"], "only the class 'Good', at least 2 classes"),
        (["unlabeled/1.png"], "no labelled image"),
        (["train/1.png"], "no labelled image .*train/1.png"),
        (["Good/1.gif", "Rust/readme.txt"], r"no labelled image .*Good/1\.gif"),
    ],
)
def test_what_is_no_data_set_says_what_is_expected(tmp_path, names, message):
    root = touch(tmp_path / "data", *names)
    root.mkdir(exist_ok=True)
    with pytest.raises(DataError, match=message) as caught:
        scan(root)
    assert "expected a folder with one folder per class" in str(caught.value)
    assert str(root) in str(caught.value)


def test_paths_that_are_no_data(tmp_path):
    with pytest.raises(DataError, match="there is no such file or folder"):
        scan(tmp_path / "none")
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.zip: neither a folder nor a \.csv"):
        scan(tmp_path / "a.zip")


def test_evaluation_may_ask_for_fewer_classes(tmp_path):
    root = touch(tmp_path, "Good/1.png")
    assert scan(root, min_classes=1).classes == ("Good",)


def test_group_column_needs_a_manifest(tmp_path):
    root = touch(tmp_path, "A/1.png", "B/1.png")
    with pytest.raises(UsageError, match=r"'tile' needs a manifest\.csv"):
        scan(root, group_column="tile")


def test_classes_that_look_alike_are_noted(tmp_path):
    root = touch(tmp_path, "Rust/1.png", "rust/1.png", "Good/1.png")
    assert "'Rust', 'rust' differ in case" in " ".join(scan(root).notes)
    # A folder from a Mac beside one from Linux: on screen they are the same.
    root = touch(tmp_path / "m", "Gr\u00f6\u00dfe/1.png", "Gro\u0308\u00dfe/1.png")
    assert r"'Gro\u0308\xdfe', 'Gr\xf6\xdfe' differ" in " ".join(scan(root).notes)


def test_odd_file_names(tmp_path):
    names = ["-rf.png", "=cmd.png", "a,b.png", 'q".png', "n\nl.png", "ri\udcdf.png"]
    names += ["<img onerror=x>.png", "é" * 120 + ".png", "NO.png"]
    root = touch(tmp_path, *(f"A/{name}" for name in names), "B/1.png")
    catalog = scan(root)
    assert {r.path for r in catalog.records if r.label == "A"} == {
        f"A/{name}" for name in names
    }
    assert all(record.file.is_file() for record in catalog.records)


@pytest.mark.parametrize("name", ["neu", "magnetic_tile", "elpv"])
def test_real_sets_are_read_whole(real_data, name):
    catalog = scan(real_data / name)
    with (real_data / name / "manifest.csv").open(newline="") as stream:
        expected = {row["path"]: row for row in csv.DictReader(stream)}
    assert set(catalog.by_path) == set(expected)
    for record in catalog.records:
        row = expected[record.path]
        assert (record.label, record.group, record.part) == (
            *(row["label"], row["group"], row["split"]),
        )


@pytest.mark.parametrize("name", ["Manifest.csv", "MANIFEST.CSV", "manifest.tsv"])
def test_a_manifest_counts_however_its_name_is_written(tmp_path, name):
    """Its folders would become the classes, and what it says would be ignored."""
    touch(tmp_path, "line1/1.png", "line2/1.png")
    rows = [("path", "label"), ("line1/1.png", "Good"), ("line2/1.png", "Bad")]
    sign = "\t" if name.endswith("tsv") else ","
    (tmp_path / name).write_text("".join(sign.join(row) + "\n" for row in rows))
    catalog = scan(tmp_path)
    assert (catalog.layout, catalog.classes) == ("manifest", ("Bad", "Good"))


def test_of_two_manifests_neither_is_ignored(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    for name in ("manifest.csv", "manifest.tsv"):
        (tmp_path / name).write_text("path,label\na.png,A\nb.png,B\n")
    with pytest.raises(DataError, match=r"has manifest\.csv, manifest\.tsv, and one"):
        scan(tmp_path)
    assert scan(tmp_path / "manifest.csv").classes == ("A", "B")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("clear primary water", "haze primary", "clear primary", "haze"), True),
        (("Grind marks", "Burn marks", "Rust"), False),
        (("clear primary", "clear|primary", "haze primary"), False),
    ],
)
def test_labels_that_blanks_may_join_are_told(tmp_path, labels, told):
    names = [f"{number}.png" for number in range(len(labels))]
    touch(tmp_path, *names)
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    notes = scan(tmp_path, multi_label=True).notes
    assert any("write clear|primary" in note for note in notes) is told
