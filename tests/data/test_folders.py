from __future__ import annotations

import os
from pathlib import Path

import pytest

from uda.data.folders import find_images, read_layout
from uda.errors import DataError
from uda.files import numbered_folder, output_folder


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_images_at_any_depth_whatever_the_case(tmp_path):
    suffixes = ["jpg", "JPEG", "png", "BMP", "tif", "TIFF"]
    names = [f"d{i}/e/x.{suffix}" for i, suffix in enumerate(suffixes)]
    names += ["a.webp", "b.PGM", "c.ppm", "-rf.png", "=cmd.png", "a\nb.png"]
    touch(tmp_path, *names)
    assert find_images(tmp_path).images == sorted(names)


def test_companions_are_silent_and_strangers_are_noted(tmp_path):
    touch(tmp_path, "a.png", "readme.md", "boxes.json", "a.xml", "n.txt", "d.yaml")
    touch(tmp_path, ".hidden.png", ".git/a.png", "__MACOSX/a.png", "Thumbs.db")
    touch(tmp_path, "movie.avi", "a.png.zip", "noname")
    os.mkfifo(tmp_path / "pipe.png")
    found = find_images(tmp_path)
    assert found.images == ["a.png"]
    assert sorted(found.others) == ["a.png.zip", "movie.avi", "noname", "pipe.png"]
    assert "4 files are not images" in found.notes()[0]
    assert "movie.avi" in found.notes()[0]


def test_results_are_no_data(tmp_path):
    """As after `cd photos; uda train .`, and then `uda train .` again."""
    touch(tmp_path, "Good/a.png", "Rust/b.png")
    run = numbered_folder(tmp_path / "runs", "train")
    touch(run, "evaluation/ema-test/confusion_matrix.png")
    touch(output_folder(tmp_path / "looked"), "sheet.png")
    found = find_images(tmp_path)
    assert found.images == ["Good/a.png", "Rust/b.png"]
    assert sorted(found.outputs) == ["looked", "runs/train"]
    assert found.empty == []
    assert "2 folders hold results of uda" in found.notes()[0]
    assert find_images(run).images == ["evaluation/ema-test/confusion_matrix.png"]


def test_links_are_not_followed_away(tmp_path):
    root = touch(tmp_path / "root", "A/a.png")
    touch(tmp_path / "else", "secret.png")
    (root / "A/out.png").symlink_to(tmp_path / "else/secret.png")
    (root / "A/dead.png").symlink_to(tmp_path / "nothing.png")
    (root / "A/same.png").symlink_to(root / "A/a.png")
    (root / "A/self.png").symlink_to(root / "A/self.png")
    (root / "loop").symlink_to(root)
    (root / "outer").symlink_to(tmp_path / "else")
    found = find_images(root)
    assert found.images == ["A/a.png", "A/same.png"]
    assert sorted(found.links) == [
        "A/dead.png",
        "A/out.png",
        "A/self.png",
        "loop",
        "outer",
    ]
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert find_images(linked).images == found.images


def test_skipped_and_missing_folders(tmp_path):
    touch(tmp_path, "A/a.png", "B/b.png")
    (tmp_path / "C").mkdir()
    found = find_images(tmp_path, skip=[(tmp_path / "B").resolve()])
    assert found.images == ["A/a.png"]
    assert found.empty == ["C"]
    with pytest.raises(DataError, match="there is no such folder"):
        find_images(tmp_path / "none")


def layout(root: Path):
    return read_layout(find_images(root))


def test_class_folders_with_an_unlabeled_one(tmp_path):
    touch(tmp_path, "NO/a.png", "01/deep/b.png", "Unlabeled/c.png", "loose.png")
    found = layout(tmp_path)
    assert found.name == "class folders"
    assert found.images == [
        ("01/deep/b.png", "01", None),
        ("NO/a.png", "NO", None),
        ("Unlabeled/c.png", None, "unlabeled"),
    ]
    assert "1 images lie outside of a class folder" in found.notes[0]


@pytest.mark.parametrize("word", ["val", "valid", "validation", "Val"])
def test_parts(tmp_path, word):
    touch(tmp_path, "train/A/1.png", "train/B/2.png", f"{word}/A/3.png", "test/B/4.png")
    touch(tmp_path, "unlabeled/5.png", "unlabeled/deep/er/6.png", "extra/7.png")
    found = layout(tmp_path)
    assert found.name == "parts"
    assert {path[-5]: (label, part) for path, label, part in found.images} == {
        "1": ("A", "train"),
        "2": ("B", "train"),
        "3": ("A", "validation"),
        "4": ("B", "test"),
        "5": (None, "unlabeled"),
        "6": (None, "unlabeled"),
    }
    assert "extra/7.png" in found.notes[0]


def test_unlabelled_images_beside_the_classes_of_a_part_are_no_class(tmp_path):
    touch(tmp_path, "train/A/1.png", "train/B/2.png", "train/Unlabelled/deep/3.png")
    touch(tmp_path, "test/A/4.png", "test/unlabeled/5.png", "train/A/unlabeled/6.png")
    assert {path[-5]: said for path, *said in layout(tmp_path).images} == {
        "1": ["A", "train"],
        "2": ["B", "train"],
        "3": [None, "unlabeled"],
        "4": ["A", "test"],
        "5": [None, "test"],  # nothing to test by, and not for training either
        "6": ["A", "train"],  # class folders may nest
    }


def test_a_test_part_beside_class_folders(tmp_path):
    touch(tmp_path, "Good/1.png", "Rust/deep/2.png", "test/Good/3.png", "loose.png")
    touch(tmp_path, "test/Rust/4.png", "Unlabeled/5.png", "ground_truth/Rust/4.png")
    found = layout(tmp_path)
    assert found.name == "parts"
    assert found.images == [
        ("Good/1.png", "Good", "train"),
        ("Rust/deep/2.png", "Rust", "train"),
        ("Unlabeled/5.png", None, "unlabeled"),
        ("test/Good/3.png", "Good", "test"),
        ("test/Rust/4.png", "Rust", "test"),
    ]
    assert "no folder train/: Good, Rust are read as the classes" in found.notes[0]
    assert "1 images lie outside of a class folder" in found.notes[1]
    # With train/ the others are no classes: nobody knows what they are for.
    touch(tmp_path, "train/Good/6.png")
    found = layout(tmp_path)
    assert {path for path, _, part in found.images if part == "train"} == {
        "train/Good/6.png"
    }
    assert "3 images lie outside" in found.notes[0]


def test_mvtec_without_train_is_divided_anew(tmp_path):
    touch(tmp_path, "good/1.png", "test/good/2.png", "test/crack/3.png")
    touch(tmp_path, "test/unlabeled/4.png")
    found = layout(tmp_path)
    assert found.name == "mvtec"
    assert {path[-5]: said for path, *said in found.images} == {
        "1": ["good", None],
        "2": ["good", None],
        "3": ["crack", None],
        "4": [None, None],
    }


def test_mvtec_is_divided_anew_without_masks(tmp_path):
    touch(tmp_path, "train/good/1.png", "test/good/2.png", "test/crack/3.png")
    touch(tmp_path, "ground_truth/crack/3_mask.png", "license.txt")
    found = layout(tmp_path)
    assert found.name == "mvtec"
    assert {(label, part) for _, label, part in found.images} == {
        ("good", None),
        ("crack", None),
    }
    assert not any("mask" in path for path, _, _ in found.images)
    assert "divided anew" in " ".join(found.notes)


def test_a_class_called_train(tmp_path):
    touch(tmp_path, "train/1.png", "bus/2.png")
    found = layout(tmp_path)
    assert {label for _, label, _ in found.images} == {"train", "bus"}


@pytest.mark.parametrize(
    ("name", "message"), [("A|B", "names several classes"), ("ri\udcdf", "not UTF-8")]
)
def test_class_folders_that_cannot_be_class_names(tmp_path, name, message):
    touch(tmp_path, f"{name}/1.png")
    with pytest.raises(DataError, match=f"class folder .*{message}"):
        layout(tmp_path)


def test_empty_folders_are_noted(tmp_path):
    touch(tmp_path, "A/1.png", "B/2.png")
    (tmp_path / "Rust").mkdir()
    assert "folders without images: Rust" in layout(tmp_path).notes
