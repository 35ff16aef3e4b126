"""Several labels per image: cells, columns, texts and numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uda.data.multilabel import (
    class_names,
    join_names,
    members,
    parse_cell,
    rarest,
    split_text,
    texts_of,
)
from uda.data.records import scan
from uda.errors import DataError, UsageError

CLASSES = ("Dent", "Rust", "Scratch")


def write(folder, text, names="abcd"):
    for name in names:
        (folder / f"{name}.png").write_bytes(b"")
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    return folder


def test_cells_are_read_joined_and_sorted(tmp_path):
    data = write(
        tmp_path,
        "path,label,group\na.png,Scratch | Rust,1\nb.png,none,1\n"
        "c.png,,2\nd.png,Rust,3\n",
    )
    catalog = scan(data, multi_label=True)
    assert [r.label for r in catalog.records] == ["Rust|Scratch", "none", None, "Rust"]
    assert [r.group for r in catalog.records] == ["1", "1", "2", "3"]
    assert catalog.classes == ("Rust", "Scratch")
    assert catalog.class_counts == {"Rust": 2, "Scratch": 1}
    with pytest.raises(DataError, match=r"line 2.*--multi-label"):
        scan(data)


def test_columns_keep_their_spelling_and_tell_none_from_unlabelled(tmp_path):
    data = write(
        tmp_path,
        "path,Rust,Edge Dent,split,module\n"
        "a.png,1,1,train,m1\nb.png,0,0,train,m1\nc.png,,,,m2\nd.png,0,1,test,m3\n",
    )
    catalog = scan(data, multi_label=True, group_column="module")
    labels = [r.label for r in catalog.records]
    assert labels == ["Edge Dent|Rust", "none", None, "Edge Dent"]
    assert catalog.classes == ("Edge Dent", "Rust")
    assert [r.part for r in catalog.records] == ["train", "train", None, "test"]
    with pytest.raises(DataError, match="must name the columns path, label"):
        scan(data, group_column="module")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,none|Rust\n", "line 2: 'none' says"),
        ("path,label\na.png,Rust||Dent\n", "line 2: an empty class name"),
        ("path,Rust,Dent\na.png,1,2\n", "line 2: column 'Dent' holds '2'"),
        ("path,Rust,Dent\na.png,1,\n", "line 2: column 'Dent' holds ''"),
        ("path,none,Dent\na.png,1,0\n", "'none' says"),
        ("path,split\na.png,train\n", "neither a column 'label'"),
        ("path,label\na.png,Rust\nb.png,none\n", "only the class 'Rust'"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        scan(write(tmp_path, text), multi_label=True)


def test_folders_name_one_class_alone(tmp_path):
    (tmp_path / "Rust").mkdir()
    (tmp_path / "Rust" / "a.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"--multi-label needs a manifest\.csv"):
        scan(tmp_path, multi_label=True)


@given(st.lists(st.one_of(st.none(), st.sets(st.sampled_from(CLASSES))), max_size=9))
def test_texts_and_numbers_are_the_same_thing(sets):
    texts = [None if names is None else join_names(names) for names in sets]
    table = members(texts, CLASSES)
    assert table.shape == (len(sets), 3)
    for row, names in zip(table, sets, strict=True):
        expected = [-1] * 3 if names is None else [int(c in names) for c in CLASSES]
        assert row.tolist() == expected
    assert texts_of(table, CLASSES) == [text or "" for text in texts]
    assert [parse_cell(text or "", "here") for text in texts] == texts
    assert set(class_names(texts)) == {n for names in sets for n in names or ()}


def test_none_names_no_class():
    assert split_text("none") == ()
    assert join_names([]) == "none"


def test_rarest_label_of_an_image():
    table = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]])
    # counts 4, 2, 2: the tie goes to the first
    assert rarest(table).tolist() == [1, 0, 2, 3, 1]
