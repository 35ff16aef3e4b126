"""Lists of unlabelled images: the same names as the folder, fewer of them."""

from __future__ import annotations

import pytest

from uda.data.records import scan
from uda.errors import DataError
from uda.files import write_csv

HEADER = ("path", "folder", "class", "kept")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def paths(root, *unlabeled):
    return [r.path for r in scan(root, unlabeled=unlabeled).records if not r.label]


@pytest.fixture
def data(tmp_path):
    return touch(tmp_path / "data", "A/1.png", "B/1.png")


def test_a_list_keeps_the_names_of_its_folder(data, tmp_path):
    more = touch(tmp_path / "more", "1.png", "deep/2.png", "3.png")
    other = touch(tmp_path / "other", "1.png")
    rows = [
        ("1.png", "more", "A", 1),
        ("./deep/2.png", more, "A", "yes"),
        ("3.png", "more", "B", 0),
    ]
    write_csv(tmp_path / "kept.csv", HEADER, rows)
    whole = paths(data, more, other)
    found = paths(data, tmp_path / "kept.csv", other)
    assert found == ["@0/1.png", "@0/deep/2.png", "@1/1.png"]
    assert set(found) < set(whole)


def test_a_listed_folder_inside_of_the_data_is_no_class(data, tmp_path):
    touch(data, "more/1.png", "more/2.png")
    rows = [("1.png", "data/more", "A", 1), ("2.png", "data/more", "A", 0)]
    write_csv(tmp_path / "kept.csv", HEADER, rows)
    catalog = scan(data, unlabeled=[tmp_path / "kept.csv"])
    assert catalog.classes == ("A", "B")
    assert [r.path for r in catalog.records if r.label is None] == ["more/1.png"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("9.png", "more", "A", 1), r"9\.png; restore"),
        (("../data/A/1.png", "more", "A", 1), "line 2"),
        (("1.png", "nowhere", "A", 1), "no such folder"),
        (("1.png", "more", "A", "perhaps"), "neither 1 nor 0"),
        (("1.png", "more", "A", 0), "keeps no image"),
    ],
)
def test_wrong_lists_are_named(data, tmp_path, row, message):
    touch(tmp_path / "more", "1.png")
    write_csv(tmp_path / "kept.csv", HEADER, [row])
    with pytest.raises(DataError, match=message):
        scan(data, unlabeled=[tmp_path / "kept.csv"])


def test_other_columns_are_not_asked_for_and_these_are(data, tmp_path):
    (tmp_path / "kept.csv").write_text("path,label\n1.png,A\n")
    with pytest.raises(DataError, match="path, folder, kept"):
        scan(data, unlabeled=[tmp_path / "kept.csv"])
    with pytest.raises(DataError, match="no such folder"):
        scan(data, unlabeled=[tmp_path / "missing.csv"])
