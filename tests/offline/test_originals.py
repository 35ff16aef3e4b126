"""Which images a new set starts from, and which of them may be copied."""

from __future__ import annotations

import pytest

from uda.data.records import scan
from uda.data.splits import make_split
from uda.errors import DataError
from uda.offline.originals import read_originals


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def trained(originals):
    return [image.path for image in originals.images if image.trains]


def test_test_and_validation_folders_are_never_copied(tmp_path):
    data = write(
        tmp_path / "d", *(f"{part}/{c}/1.png" for c in "AB" for part in
                          ("train", "val", "test")), "unlabeled/u.png",
    )  # fmt: skip
    found = read_originals(data)
    assert trained(found) == ["train/A/1.png", "train/B/1.png"]
    assert len(found.images) == 7
    assert not any("no split" in note for note in found.notes)


def test_without_parts_all_labelled_images_train_and_that_is_said(tmp_path):
    data = write(tmp_path / "d", "A/1.png", "B/1.png", "unlabeled/u.png")
    found = read_originals(data)
    assert trained(found) == ["A/1.png", "B/1.png"]
    assert any("no split was given" in note for note in found.notes)
    assert any("leaks were not checked" in note for note in found.notes)


def test_a_split_leaves_its_labelled_part_alone_to_copy(tmp_path):
    data = write(tmp_path / "d", *(f"{c}/{i}.png" for c in "AB" for i in range(9)))
    pile = write(tmp_path / "pile", "x/u.png", "v.png")
    catalog = scan(data, unlabeled=[pile])
    split, _ = make_split(catalog, None, labels_per_class=2)
    split.save(tmp_path / "s.csv")
    write(data, "A/late.png")
    found = read_originals(data, split=tmp_path / "s.csv", unlabeled=[pile])
    assert trained(found) == sorted(row.path for row in split.part("labeled"))
    names = {image.path for image in found.images}
    assert {"unlabeled_0/x/u.png", "unlabeled_0/v.png"} <= names
    assert "A/late.png" not in names
    assert any("A/late.png" in note for note in found.notes)
    kept = [row for row in found.split_rows() if row.part == "test"]
    assert tuple(sorted(kept, key=lambda r: r.path)) == split.part("test")


def test_images_that_get_copies_get_a_group(tmp_path):
    (
        write(tmp_path / "d", "A/1.png", "A/2.png", "B/1.png") / "manifest.csv"
    ).write_text("path,label,group\nA/1.png,A,part7\nA/2.png,A,\nB/1.png,B,\n")
    found = read_originals(tmp_path / "d").keep_together(["A"])
    assert [i.group for i in found.images] == ["part7", "A/2.png", None]


def test_a_set_with_copies_is_refused(tmp_path):
    data = write(tmp_path / "d", "A/1.png", "B/1.png", "provenance.csv")
    with pytest.raises(DataError, match="copies of copies"):
        read_originals(data)


def test_changed_images_are_refused(tmp_path):
    data = write(tmp_path / "d", *(f"{c}/{i}.png" for c in "AB" for i in range(5)))
    make_split(scan(data), None)[0].save(tmp_path / "s.csv")
    (data / "A" / "0.png").write_text("other")
    with pytest.raises(DataError, match=r"A/0\.png .*changed since"):
        read_originals(data, split=tmp_path / "s.csv")


def test_class_names_that_a_manifest_cannot_hold_are_refused(tmp_path):
    data = write(tmp_path / "d", " A/1.png", "B/1.png")
    with pytest.raises(DataError, match="begin or end with a space"):
        read_originals(data)
