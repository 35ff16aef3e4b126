"""Coarse labels in splits: in the labelled part alone, and nothing else moves."""

from __future__ import annotations

import pytest
from PIL import Image

from uda.data.coarse import draw_with_coarse, refuse_coarse_tests
from uda.data.records import scan
from uda.data.splits import Split, SplitRow, extend_split, make_split
from uda.errors import DataError
from uda.tree import ROOT, Tree

TREE = Tree(
    ((ROOT, ("Good", "Defect")), ("Defect", ("Rust", "Scratch"))),
    ("Good", "Rust", "Scratch"),
)


def write(folder, names, count=10):
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = Image.new("RGB", (4, 4), (i, ord(name[0]), 0))
            image.save(folder / name / f"{name}{i}.png")
    return folder


def draw(catalog, groups=None):
    return make_split(catalog, groups, labels_per_class=3, seed=1)


def test_they_train_and_the_rest_is_drawn_as_without_them(tmp_path):
    fine = scan(write(tmp_path / "fine", TREE.classes))
    both = scan(write(tmp_path / "both", (*TREE.classes, "Defect")))
    one, _ = draw_with_coarse(draw, fine, TREE)
    two, notes = draw_with_coarse(draw, both, TREE)
    mine = [row for row in two.rows if row.label == "Defect"]
    assert len(mine) == 10
    assert {row.part for row in mine} == {"labeled"}
    assert [r for r in two.rows if r.label != "Defect"] == list(one.rows)
    assert "10 images have a label of several classes (Defect)" in notes[-1]
    assert two.verify(both) == []


def test_without_a_tree_it_is_a_class_like_any_other(tmp_path):
    catalog = scan(write(tmp_path, (*TREE.classes, "Defect")))
    split, _ = draw_with_coarse(draw, catalog, None)
    assert any(row.label == "Defect" for row in split.part("test"))
    with pytest.raises(DataError, match="uda split DATA --tree"):
        refuse_coarse_tests(split, TREE)
    refuse_coarse_tests(split, None)


@pytest.mark.parametrize("transductive", [False, True])
def test_groups_of_the_test_stay_out(tmp_path, transductive):
    catalog = scan(write(tmp_path, (*TREE.classes, "Defect")))
    groups = {r.path: r.path[-5] for r in catalog.records}  # ten parts, all classes

    def grouped(shown):
        return make_split(shown, groups, seed=1, transductive=transductive)

    split, _ = draw_with_coarse(grouped, catalog, TREE)
    held = {r.group for p in ("test", "validation") for r in split.part(p)}
    assert held
    trained = [row for row in split.part("labeled") if row.label == "Defect"]
    assert trained
    assert {row.group for row in trained}.isdisjoint(held)
    assert split.crossings() == []
    rest = [row for row in split.rows if row.path.startswith("Defect")]
    assert len(rest) == (10 if transductive else 10 - len(held))


def test_an_extended_split_takes_new_ones_in(tmp_path):
    data = write(tmp_path, TREE.classes)
    split, _ = draw(scan(data))
    write(tmp_path, ("Defect",), count=4)
    grown, _ = draw_with_coarse(
        lambda shown: extend_split(split, shown, None), scan(data), TREE
    )
    assert [row.label for row in grown.part("labeled")].count("Defect") == 4
    assert grown.part("test") == split.part("test")
    again, _ = draw_with_coarse(
        lambda shown: extend_split(grown, shown, None), scan(data), TREE
    )
    assert again.rows == grown.rows


def test_one_row_of_the_test_is_enough_to_refuse():
    row = SplitRow("a.png", "test", "Defect", None, "")
    with pytest.raises(DataError):
        refuse_coarse_tests(Split((row,)), TREE)
