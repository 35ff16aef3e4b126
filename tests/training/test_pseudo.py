"""Pseudo-labels as a file: odd names come back, and only unlabelled images have any."""

from __future__ import annotations

import pytest

from uda.data.splits import Split, SplitRow
from uda.errors import DataError
from uda.training.pseudo import read_pseudo_labels, write_pseudo_labels

SPLIT = Split(
    tuple(
        SplitRow(path, part, label, None, "")
        for path, part, label in [
            ("a.png", "labeled", "A"),
            ("@0/=odd\n.png", "unlabeled", None),
            ("known.png", "unlabeled", "B"),
            ("v.png", "validation", "A"),
            ("t.png", "test", "B"),
        ]
    )
)


def test_names_come_back_and_the_split_stays(tmp_path):
    path = tmp_path / "p.csv"
    rows = [("@0/=odd\n.png", "B", 0.75), ("known.png", "A", 0.5)]
    write_pseudo_labels(path, rows, generation=1)
    found = read_pseudo_labels(str(path), SPLIT, ("A", "B"))
    assert found == {"@0/=odd\n.png": 1, "known.png": 0}
    assert read_pseudo_labels(None, SPLIT, ("A", "B")) == {}


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("v.png", "A", "'validation'"),
        ("t.png", "A", "'test'"),
        ("a.png", "A", "'labeled'"),
        ("nowhere.png", "A", "not in the split"),
        ("known.png", "C", "no class C"),
    ],
)
def test_others_are_refused_with_their_line(tmp_path, name, label, message):
    path = tmp_path / "p.csv"
    write_pseudo_labels(path, [(name, label, 0.9)], generation=0)
    with pytest.raises(DataError, match=f"line 2.*{message}"):
        read_pseudo_labels(str(path), SPLIT, ("A", "B"))
