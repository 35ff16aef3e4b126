from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.data.boxes.helpers import plain, rules, sample, write_files, write_images
from uda.data.boxes import yolo
from uda.errors import DataError


def read(folder, text, *, names="pit\nrust\n", sizes=None):
    write_files(folder, {"l/one.txt": text.encode(), "l/classes.txt": names.encode()})
    images = write_images(folder / "i", sizes or {"one.png": (64, 48)})
    return yolo.read(folder / "l", rules(images))


def test_reads_centres(tmp_path):
    found = read(tmp_path, "1 0.5 0.5 0.25 0.5\n\n0 0.25 0.25 0.5 0.5\n")
    assert found.images[0].boxes.tolist() == [[24, 12, 40, 36], [0, 0, 32, 24]]
    assert found.images[0].labels == (1, 0)


def test_every_image_of_the_folder_belongs_to_the_set(tmp_path):
    sizes = {"one.png": (64, 48), "none.png": (5, 5), "s/x y.jpg": (9, 9)}
    found = read(tmp_path, "", sizes=sizes)
    assert [image.path for image in found.images] == [
        "none.png",
        "one.png",
        "s/x y.jpg",
    ]
    assert found.num_boxes == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [("[pit, rust]", {0: "pit"}), ("{1: rust, 0: pit}", {0: "pit"}),
     ("{3: pit, 7: rust}", {3: "pit"})],
)  # fmt: skip
def test_names_of_a_data_file(tmp_path, names, expected):
    key = next(iter(expected))
    text = f"{key} .5 .5 .5 .5\n"
    write_files(
        tmp_path,
        {"labels/one.txt": text.encode(), "data.yaml": f"names: {names}".encode()},
    )
    images = write_images(tmp_path / "i", {"one.png": (64, 48)})
    for place in (tmp_path, tmp_path / "data.yaml"):
        found = yolo.read(place, rules(images))
        assert found.categories[found.images[0].labels[0]].name == "pit"


@pytest.mark.parametrize("form", ["[{}]", "{{0: {}}}", "\n  - {}", "\n  0: {}"])
def test_class_names_stay_text(tmp_path, form):
    for name in ("NO", "on", "1.50", "007", "null", "2024-01-01", "yes"):
        (tmp_path / "data.yaml").write_text(f"names: {form.format(name)}\n")
        assert yolo._names_from_yaml(tmp_path / "data.yaml") == {0: name}


def test_many_label_files_are_looked_up_at_once(tmp_path, monkeypatch):
    """Not each label file against each image: of 20,000 that would take minutes."""
    num, made = 60, []

    def counted(*parts):
        made.append(parts)
        return Path(*parts)

    monkeypatch.setattr(yolo, "Path", counted)
    write_files(tmp_path, {f"l/{i:03}.txt": b"0 .5 .5 .5 .5\n" for i in range(num)})
    write_files(tmp_path, {"l/classes.txt": b"pit\n"})
    images = write_images(tmp_path / "i", {f"{i:03}.png": (4, 4) for i in range(num)})
    found = yolo.read(tmp_path / "l", rules(images))
    assert found.num_boxes == num
    assert len(made) < 8 * num


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 .5 .5 .5\n", r"one\.txt:1: has 3 numbers"),
        ("0 .1 .1 .2 .2 .3 .3 .4 .4\n", "polygons, turned boxes and scores"),
        ("pit .5 .5 .5 .5\n", r"one\.txt:1: is not 'class x y width height'"),
        ("0 .5 .5 .5 .5\n7 .5 .5 .5 .5\n", r"one\.txt:2: class 7 has no name"),
        ("0 .5 .5 nan .5\n", r"one\.txt:1: .*not a finite"),
        ("0 .5 .5 1.5 .5\n", "reaches out of the image"),
        ("0 .5 .5 -.5 .5\n", "negative width"),
        ("0 .5 .5 0 .5\n", "has no area"),
    ],
)
def test_faults_name_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_labels_without_image_images_that_share_labels_and_no_names(tmp_path):
    write_files(tmp_path / "a", {"l/gone.txt": b""})
    with pytest.raises(DataError, match=r"gone\.txt: there is no such image"):
        read(tmp_path / "a", "")
    sizes = {"one.png": (5, 5), "one.jpg": (5, 5)}
    with pytest.raises(DataError, match=r"belongs to both one\.jpg and one\.png"):
        read(tmp_path / "b", "", sizes=sizes)
    images = write_images(tmp_path / "i")
    write_files(tmp_path / "c/d", {"one.txt": b""})
    with pytest.raises(DataError, match="need the class names"):
        yolo.read(tmp_path / "c/d", rules(images))
    write_files(tmp_path / "c/d", {"data.yaml": b"names: 3"})
    with pytest.raises(DataError, match="needs 'names'"):
        yolo.read(tmp_path / "c/d", rules(images))
    write_files(tmp_path / "c/d", {"data.yaml": b"names: ["})
    with pytest.raises(DataError, match=r"data\.yaml: cannot be read"):
        yolo.read(tmp_path / "c/d", rules(images))


def test_writes_all_digits_and_the_names(tmp_path):
    files = yolo.encode(sample())
    content = yaml.safe_load(files["data.yaml"])
    # A 'path' of "." would be another folder for every trainer.
    assert list(content) == ["train", "val", "names"]
    assert b"# No validation part" in files["data.yaml"]
    assert content["names"] == dict(enumerate(c.name for c in sample().categories))
    line = files["labels/sub folder/zwei ä.txt"].decode().split()
    assert len(line[1].partition(".")[2]) >= 9
    assert files["labels/sub folder/empty.txt"] == b""
    assert len(yolo.encode(plain())) == 4


def test_class_names_that_are_not_utf_8_are_named(tmp_path):
    write_files(
        tmp_path, {"l/one.txt": b"", "l/classes.txt": "Lücke\n".encode("cp1252")}
    )
    images = write_images(tmp_path / "i", {"one.png": (64, 48)})
    with pytest.raises(DataError, match=r"classes\.txt: .*save it as UTF-8"):
        yolo.read(tmp_path / "l", rules(images))


def test_a_line_that_names_nothing_would_shift_all_later_classes(tmp_path):
    with pytest.raises(DataError, match=r"classes\.txt, line 2: names no class"):
        read(tmp_path, "1 .5 .5 .5 .5\n", names="Good\n\nRust\n")
    found = read(tmp_path, "1 .5 .5 .5 .5\n", names="Good\nRust\n\n")
    assert [category.name for category in found.categories] == ["Good", "Rust"]


def test_what_a_mac_leaves_beside_images_is_no_image(tmp_path):
    sizes = {"one.png": (64, 48)}
    write_files(tmp_path, {"i/._one.png": b"resource fork"})
    assert [i.path for i in read(tmp_path, "", sizes=sizes).images] == ["one.png"]


@pytest.mark.parametrize("source", [".", "data.yaml"])
def test_labels_beside_images_within_each_part(tmp_path, source):
    """train/images with train/labels, as several tools export it."""
    sizes = {"train/images/a.png": (64, 48), "valid/images/b.png": (64, 48)}
    write_images(tmp_path, sizes)
    texts = {"train/labels/a.txt": b"0 .5 .5 .5 .5\n", "valid/labels/b.txt": b""}
    names = b"names: [pit]\ntrain: ../train/images\nval: ../valid/images\n"
    write_files(tmp_path, {**texts, "data.yaml": names})
    found = yolo.read(tmp_path / source, rules(tmp_path))
    assert [len(image.boxes) for image in found.images] == [1, 0]
    files = [tmp_path / image.path for image in found.images]
    assert yolo.held_out(tmp_path / source, files) == [1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: images\nval: images\n", []),
        ("path: {here}\ntrain: images/a\nval: images/b\ntest:\n", [1, 2]),
        ("train: images/a\ntest: images/b\n", [1, 2]),
        ("train: images/a\nval: [images/b]\n", [1, 2]),
        ("train: [images/a, images/b]\nval: images/b\n", []),
        ("train: images/a\nval: images\n", [1, 2]),
        ("train: images/a\nval: val.txt\n", [1]),
        ("train: images/a\nval: gone\n", []),
        ("names: [pit]\n", []),
    ],
)
def test_what_is_kept_for_measuring_is_read_off_the_data_file(tmp_path, text, told):
    for name in ("images/a/1.png", "images/b/2 b.png", "store/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    link = tmp_path / "images" / "b" / "3.png"
    link.symlink_to(tmp_path / "store" / "3.png")
    (tmp_path / "val.txt").write_text("./images/b/2 b.png\n\n")
    (tmp_path / "data.yaml").write_text(text.format(here=tmp_path))
    files = [tmp_path / "images" / name for name in ("a/1.png", "b/2 b.png", "b/3.png")]
    assert yolo.held_out(tmp_path, files) == told
