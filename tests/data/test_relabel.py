from __future__ import annotations

import csv
import os

import pytest

from uda.data.extension import extend_split
from uda.data.labelfile import Told, add_labels, labels_of_split
from uda.data.records import scan
from uda.data.relabel import (
    HEADER,
    read_new_labels,
    write_doubts,
    write_relabelled,
)
from uda.data.splitfile import Split, SplitRow
from uda.data.splits import make_split
from uda.errors import DataError

CLASSES = ("Good", "Rust")
ROWS = (
    SplitRow("=a.png", "labeled", "Good", "g1", ""),
    SplitRow("b.png", "labeled", "Rust", None, ""),
    SplitRow("c.png", "unlabeled", "Good", None, ""),
    SplitRow("@0/d.png", "unlabeled", None, None, ""),
    SplitRow("e.png", "validation", "Rust", "g2", ""),
    SplitRow("f.png", "test", "Good", None, ""),
)


@pytest.fixture
def split():
    return Split(ROWS)


def filled(path, answers):
    """Write a list of doubts and fill in its last column."""
    write_doubts(
        path,
        [(r.path, r.label, "Rust", 0.25, "why") for r in ROWS if r.path in answers],
    )
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, answer in zip(rows, answers.values(), strict=True):
        row["new_label"] = answer
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_there_and_back(split, tmp_path):
    path = filled(tmp_path / "r.csv", {"=a.png": "Rust", "b.png": "", "e.png": "Good"})
    found = read_new_labels(path, split, CLASSES)
    assert found == {"=a.png": "Rust", "e.png": "Good"}


def test_withdrawn_and_unchanged(split, tmp_path):
    path = filled(tmp_path / "r.csv", {"=a.png": "Good", "b.png": "unlabeled"})
    assert read_new_labels(path, split, CLASSES) == {"b.png": None}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"b.png": "Rost"}, r"line 2: b.png: there is no class Rost.*Good"),
        ({"f.png": "Rust"}, "no labelled image"),
        ({"c.png": "Rust"}, "no labelled image"),
    ],
)
def test_what_is_refused_names_its_line(split, tmp_path, answers, message):
    with pytest.raises(DataError, match=message):
        read_new_labels(filled(tmp_path / "r.csv", answers), split, CLASSES)


def test_a_list_saved_in_a_code_page_gets_a_hint(split, tmp_path):
    path = filled(tmp_path / "r.csv", {"b.png": "Gr\u00fcn"})
    path.write_bytes(path.read_text().encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8; save the file as CSV UTF-8"):
        read_new_labels(path, split, (*CLASSES, "Gr\u00fcn"))


def test_two_answers_for_one_image_are_refused(split, tmp_path):
    path = filled(tmp_path / "r.csv", {"b.png": "Good"})
    line = path.read_text().splitlines()[1]
    path.write_text(f"{path.read_text()}{line}\n")
    assert read_new_labels(path, split, CLASSES) == {"b.png": "Good"}
    for other in ("unlabeled", "Rust"):  # Rust is what it was
        end = line.removesuffix("Good") + other
        path.write_text("\n".join([*path.read_text().splitlines()[:2], end]) + "\n")
        with pytest.raises(DataError, match=rf"line 3: b\.png .*{other}.* Good in an"):
            read_new_labels(path, split, CLASSES)


def test_a_list_of_another_run_is_refused(split, tmp_path):
    path = filled(tmp_path / "r.csv", {"b.png": "Good"})
    path.write_text(path.read_text().replace("b.png,Rust", "b.png,Good"))
    with pytest.raises(DataError, match="write it again"):
        read_new_labels(path, split, CLASSES)


def test_the_manifest_keeps_parts_and_groups(split, tmp_path):
    for row in ROWS:
        if "@" not in row.path:
            (tmp_path / row.path).write_text(row.path)
    write_relabelled(tmp_path / "new.csv", split, {"=a.png": "Rust", "b.png": None})
    catalog = scan(tmp_path / "new.csv", min_classes=0)
    found = {r.path: (r.label, r.part, r.group) for r in catalog.records}
    assert found == {
        "=a.png": ("Rust", "train", "g1"),
        "b.png": (None, "unlabeled", None),
        "c.png": ("Good", "unlabeled", None),  # held back, and still known
        "e.png": ("Rust", "validation", "g2"),
        "f.png": ("Good", "test", None),
    }
    assert [r.path for r in catalog.records if r.withdrawn] == ["b.png"]
    again, _ = make_split(catalog, catalog.groups())
    parts = {row.path: row.part for row in again.rows}
    assert parts["e.png"] == "validation"
    assert parts["f.png"] == "test"
    assert parts["=a.png"] == "labeled"


def test_a_withdrawn_label_does_not_come_back_from_the_older_split(split, tmp_path):
    for row in ROWS:
        if "@" not in row.path:
            (tmp_path / row.path).write_text(row.path)
    inner = Split(tuple(row for row in ROWS if "@" not in row.path))
    answers = {"=a.png": None, "e.png": None}
    write_relabelled(tmp_path / "new.csv", inner, answers)
    catalog, notes = labels_of_split(inner, scan(tmp_path / "new.csv", min_classes=0))
    assert notes == []
    assert catalog.by_path["=a.png"].label is None

    longer, notes = extend_split(inner, catalog, catalog.groups())
    row = longer.by_path["=a.png"]
    assert (row.part, row.label) == ("unlabeled", None)
    assert longer.part("labeled")[0].path == "b.png"
    assert any("1 labels were withdrawn" in note for note in notes)
    # A validation image without a label says nothing, and could not be trained by.
    assert not longer.part("validation")
    assert any("1 validation images lost their label" in note for note in notes)

    # Training by the older split would learn the label after all.
    with pytest.raises(
        DataError, match=r"2 images differs: =a\.png is Good there and wi"
    ):
        inner.refuse_other_labels(catalog, "old.csv")
    longer.refuse_other_labels(catalog, "new.csv")

    # The next correction does not know of this one, but the data do.
    write_relabelled(tmp_path / "next.csv", longer, {"b.png": "Good"}, {"=a.png"})
    later = scan(tmp_path / "next.csv", min_classes=0)
    assert [r.path for r in later.records if r.withdrawn] == ["=a.png"]

    # Whoever then fills in a label means it.
    told = {os.path.realpath(tmp_path / "=a.png"): Told("Rust", "list.csv, line 2")}
    more = add_labels(catalog, told)
    again, _ = extend_split(longer, more.catalog, None, told=more.paths)
    assert again.by_path["=a.png"].label == "Rust"
    assert again.by_path["=a.png"].part == "labeled"


def test_labels_that_a_manifest_cannot_name_are_refused_and_nothing_written(tmp_path):
    rows = (*ROWS, SplitRow("@0/p5.png", "labeled", "Rust", None, ""))
    with pytest.raises(DataError, match=r"1 labelled images.*@0/p5\.png.*nothing"):
        write_relabelled(tmp_path / "new.csv", Split(rows), {"@0/p5.png": "Good"})
    assert not (tmp_path / "new.csv").exists()
