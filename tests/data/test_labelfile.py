"""Labels filled into a list: what is read, what is refused, what the split keeps."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from uda.data.extension import extend_split
from uda.data.labelfile import add_labels, labels_of_split, read_labels
from uda.data.records import scan
from uda.data.splitfile import ordered
from uda.data.splits import Split, make_split
from uda.errors import DataError, UsageError


@pytest.fixture
def data(tmp_path) -> Path:
    """Two classes of four files, and a pile inside and one outside of the data."""
    for folder, num in (("d/Good", 4), ("d/Rust", 4), ("d/unlabeled", 3), ("pile", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(num):
            (tmp_path / folder / f"{i}.png").write_text(f"{folder} {i}")
    return tmp_path


def catalog_of(data: Path):
    return scan(data / "d", unlabeled=[data / "d" / "unlabeled", data / "pile"])


def write(
    data: Path, *rows: str, name: str = "s.csv", head="path,folder,label"
) -> Path:
    path = data / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_rows_without_a_label_are_left_as_they_are(data):
    source = write(data, "0.png,pile,", "1.png,pile, Rust ", "./2.png,./pile,Good")
    told = read_labels(source)
    names = {Path(file).name: answer.label for file, answer in told.items()}
    assert names == {"1.png": "Rust", "2.png": "Good"}
    assert next(iter(told.values())).where.endswith("line 3")


def test_a_spreadsheet_may_write_semicolons_and_more_columns(data):
    head = "reason;label;folder;path"
    told = read_labels(write(data, "odd;Rust;pile;1.png", head=head))
    assert [answer.label for answer in told.values()] == ["Rust"]


def test_an_escaped_name_is_read_as_it_was_meant(data):
    told = read_labels(write(data, "1.png,pile,'=Rust"))
    assert [answer.label for answer in told.values()] == ["=Rust"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0.png,pile,"], "no label is filled in"),
        (["9.png,pile,Rust"], "line 2: there is no file"),
        (["0.png,gone,Rust"], "line 2: there is no file"),
        (["../pile/0.png,pile,Rust"], "line 2: '../pile/0.png'"),
        (["0.png,pile,Rust|Good"], "names several classes"),
        (["0.png,pile,Rust", "0.png,pile,Good"], "line 3: .* keep one label"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(data, rows, message):
    with pytest.raises(DataError, match=message):
        read_labels(write(data, *rows))


def test_a_missing_column_is_an_error(data):
    with pytest.raises(DataError, match="path, folder, label"):
        read_labels(write(data, "0.png,Rust", head="path,label"))


@pytest.mark.parametrize("pile", ["pile", "d/unlabeled"])
def test_images_get_their_labels_wherever_they_lie(data, pile):
    told = read_labels(write(data, f"1.png,{pile},Rust"))
    catalog = catalog_of(data)
    found = add_labels(catalog, told)
    (path,) = found.paths
    assert found.catalog.by_path[path].label == "Rust"
    assert found.catalog.by_path[path].part != "unlabeled"
    assert sum(r.label is not None for r in found.catalog.records) == 9
    assert found.notes == ["1 labels filled in: Rust 1"]


@pytest.mark.parametrize(
    ("row", "options", "error", "message"),
    [
        ("1.png,pile,rust", {}, DataError, r"no class rust \(did you mean Rust\?\)"),
        ("1.png,pile,Dent", {}, DataError, "Good, Rust. .*--new-class Dent"),
        ("1.png,d/Good,Rust", {}, DataError, "called Rust here, and Good in the data"),
        (
            "1.png,pile,Rust",
            {"new_classes": ["Dent"]},
            UsageError,
            "no row of --labels names it",
        ),
        (
            "1.png,pile,Rust",
            {"new_classes": ["Rust"]},
            UsageError,
            "there is such a class already",
        ),
    ],
)
def test_what_contradicts_the_data_is_refused(data, row, options, error, message):
    told = read_labels(write(data, row))
    with pytest.raises(error, match=message):
        add_labels(catalog_of(data), told, **options)


def test_an_image_outside_of_the_data_is_refused(data):
    told = read_labels(write(data, "1.png,pile,Rust"))
    with pytest.raises(DataError, match=r"none of the data's images .*--unlabeled"):
        add_labels(scan(data / "d"), told)


def test_a_new_class_is_said_aloud_and_the_split_keeps_it(data):
    before = catalog_of(data)
    split, _ = make_split(before, None, test=0.25, validation=0.25)
    told = read_labels(write(data, "1.png,pile,Dent", "0.png,d/unlabeled,Good"))
    found = add_labels(before, told, new_classes=["Dent"])
    assert found.catalog.classes == ("Dent", "Good", "Rust")
    assert "the class Dent is new" in found.notes[1]
    more, notes = extend_split(split, found.catalog, None, told=found.paths)
    said = "images are labelled training now that were not"
    assert [n.split(":")[0] for n in notes if said in n] == [f"2 {said}"]
    assert more.by_path["@1/1.png"].label == "Dent"
    assert more.by_path["@1/1.png"].part == "labeled"
    for part in ("test", "validation"):
        assert more.part(part) == split.part(part)
    more.save(data / "more.csv")

    # The folders say nothing of it; the split file alone does.
    loaded = Split.load(data / "more.csv")
    catalog, notes = labels_of_split(loaded, catalog_of(data))
    assert catalog.classes == ("Dent", "Good", "Rust")
    assert notes[0].startswith("2 labelled images have their label from the split file")
    assert loaded.verify(catalog) == []
    again, _ = extend_split(loaded, catalog, None)
    assert again.part("labeled") == loaded.part("labeled")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_fold_may_hold_out_what_the_split_file_alone_has_a_label_for(data, part):
    """Else a fold's split never fits the data again, and cannot be resumed."""
    before = catalog_of(data)
    split, _ = make_split(before, None, test=0.25, validation=0.25)
    told = read_labels(write(data, "1.png,pile,Rust", "2.png,pile,Good"))
    found = add_labels(before, told)
    split, _ = extend_split(split, found.catalog, None, told=found.paths)
    rows = [replace(r, part=part) if r.path == "@1/1.png" else r for r in split.rows]
    fold = Split(ordered(rows))
    catalog, notes = labels_of_split(fold, catalog_of(data))
    assert fold.verify(catalog) == []
    assert notes[0].startswith("2 labelled images have their label from the split file")

    # Its part decides what it is for: extending leaves it where it is.
    longer, notes = extend_split(fold, catalog, None)
    assert longer == fold
    assert notes == []


def test_a_label_that_was_held_back_counts_when_it_is_filled_in(data):
    catalog = catalog_of(data)
    split, _ = make_split(catalog, None, test=0, validation=0, labels_per_class=1)
    back = next(row for row in split.part("unlabeled") if row.label == "Rust")
    name = Path(back.path).name
    told = read_labels(write(data, f"{name},d/Rust,Rust"))
    found = add_labels(catalog, told)
    more, _ = extend_split(split, found.catalog, None, told=found.paths)
    assert more.by_path[back.path].part == "labeled"
    assert len(more.part("labeled")) == 3


def test_a_split_that_knows_no_more_changes_nothing(data):
    catalog = catalog_of(data)
    split, _ = make_split(catalog, None)
    assert labels_of_split(split, catalog) == (catalog, [])


@pytest.mark.parametrize(("folder", "typed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_class_in_another_unicode_form_is_the_same_class(data, folder, typed):
    name = unicodedata.normalize(folder, "Löcher")
    (data / "d" / "Rust").rename(data / "d" / name)
    source = write(data, f"1.png,pile,{unicodedata.normalize(typed, 'Löcher')}")
    catalog = catalog_of(data)
    found = add_labels(catalog, read_labels(source))
    assert found.catalog.classes == catalog.classes == ("Good", name)
