"""Offline augmentation as a whole: counts, parts, provenance, repeats, refusals."""

from __future__ import annotations

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.support.surfaces import write_surfaces
from uda.augment.kernels import render
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.data.records import scan
from uda.data.splits import Split, make_split
from uda.errors import DataError, UsageError
from uda.files import sha256_file
from uda.offline.images import Request, augment_images

POLICY = Policy("mine", ops=(OpSpec("Rotate", 5, 30), OpSpec("Contrast", 0.5, 1.5)),
                count=2, hflip=0.5)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Surfaces, 10 of each class but 4 scratches, and a split of them."""
    folder = write_surfaces(tmp_path_factory.mktemp("base"), per_class=10, unlabeled=5)
    for path in sorted((folder / "data" / "Scratch").glob("*"))[4:]:
        path.unlink()
    catalog = scan(folder / "data", unlabeled=[folder / "more"])
    groups = {r.path: r.path[:-5] for r in catalog.records if r.label == "Rust"}
    split, _ = make_split(catalog, groups or None, validation=0.1, test=0.2)
    split.save(folder / "split.csv")
    return folder


def request(base, out, **changes):
    values = {
        "data": base / "data", "out": out, "policy": POLICY, "to_count": 12,
        "split": base / "split.csv", "unlabeled": (base / "more",),
    }  # fmt: skip
    return Request(**{**values, **changes})


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_class_reaches_the_count_and_no_other_part_changes(base, tmp_path):
    out = tmp_path / "out"
    report = augment_images(request(base, out))
    assert {c.label: c.after for c in report.classes} == dict.fromkeys(
        ("Good", "Rust", "Scratch"), 12
    )
    old, new = Split.load(base / "split.csv"), Split.load(out / "split.csv")
    for part in ("test", "validation"):
        assert new.part(part) == old.part(part)
    assert len(new.part("unlabeled")) == len(old.part("unlabeled")) == 5
    catalog = scan(out)
    assert new.verify(catalog) == []
    assert new.unknown(catalog) == []
    assert catalog.notes == ()
    labels = [row.label for row in new.part("labeled")]
    assert {name: labels.count(name) for name in set(labels)} == dict.fromkeys(
        labels, 12
    )
    for row in old.part("test"):  # self-contained: a file of its own
        assert (out / row.path).read_bytes() == (base / "data" / row.path).read_bytes()
        assert not (out / row.path).samefile(base / "data" / row.path)


def test_only_the_labelled_part_is_copied_and_each_copy_says_from_what(base, tmp_path):
    out = tmp_path / "out"
    augment_images(request(base, out, seed=5))
    old = Split.load(base / "split.csv")
    sources = {row.path: row for row in old.part("labeled")}
    rows = read(out / "provenance.csv")
    new = Split.load(out / "split.csv")
    assert len(rows) == len(new.part("labeled")) - len(sources)
    for row in rows:
        source = sources[row["source"]]
        assert row["label"] == source.label == new.by_path[row["copy"]].label
        assert row["source_sha256"] == source.sha256
        assert row["policy_fingerprint"] == POLICY.fingerprint()
        assert row["sha256"] == sha256_file(out / row["copy"])
        assert new.by_path[row["copy"]].group == new.by_path[row["source"]].group
        assert new.by_path[row["copy"]].group is not None
    one = rows[-1]
    image = np.asarray(Image.open(out / one["source"]))[None, :, :, None]
    everything = [np.asarray(Image.open(base / "data" / path)) for path in sources]
    fill = [round(float(np.mean([np.mean(i, dtype=float) for i in everything])))]
    view = render(
        POLICY, image, seed=5, stream=one["stream"],
        counters=[int(one["counter"])], fill=fill,
    )  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(out / one["copy"])), view[0, :, :, 0])


@pytest.mark.parametrize("stop_at", [("originals", 7), ("copies", 1), ("copies", 11)])
def test_interrupted_and_repeated_is_as_in_one_go(base, tmp_path, stop_at):
    augment_images(request(base, tmp_path / "whole"))

    class Killed(Exception):
        pass

    def kill(stage, done, total):
        if (stage, done) == stop_at:
            raise Killed

    with pytest.raises(Killed):
        augment_images(request(base, tmp_path / "parts"), kill)
    assert not (tmp_path / "parts" / "manifest.csv").exists()
    # What a power cut may leave as well: a half-written temporary file.
    (tmp_path / "parts" / ".half.png.123.tmp").write_bytes(b"x")
    report = augment_images(request(base, tmp_path / "parts"))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    before = contents(tmp_path / "parts")
    assert augment_images(request(base, tmp_path / "parts")) == report
    assert contents(tmp_path / "parts") == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"to_count": 13}, r"--to-count \(12 there, 13 now\)"),
        ({"seed": 1}, r"--seed \(0 there, 1 now\)"),
        ({"policy": Policy("other", hflip=1.0)}, r"--policy \(mine .* there, other "),
        ({"classes": ("Rust",)}, r"--classes \(all there, Rust now\)"),
        ({"split": None}, "DATA, --split, --group"),
    ],
)
def test_another_configuration_is_refused(base, tmp_path, changes, named):
    out = tmp_path / "out"
    augment_images(request(base, out))
    before = contents(out)
    with pytest.raises(UsageError, match=named):
        augment_images(request(base, out, **changes))
    assert contents(out) == before


def test_foreign_folders_are_refused(base, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    with pytest.raises(UsageError, match="was not made by this command"):
        augment_images(request(base, tmp_path / "mine"))
    with pytest.raises(UsageError, match="lies in the data folder"):
        augment_images(request(base, base / "data" / "more"))
    with pytest.raises(UsageError, match=r"lies in --unlabeled .*more"):
        augment_images(request(base, base / "more" / "new"))
    assert not (base / "more" / "new").exists()
    with pytest.raises(UsageError, match="is a file"):
        augment_images(request(base, tmp_path / "mine" / "a.txt"))
    with pytest.raises(DataError, match=r"a\.txt/new: Not a directory"):
        augment_images(request(base, tmp_path / "mine" / "a.txt" / "new"))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["a.txt"]


def test_classes_and_counts_without_effect(base, tmp_path):
    report = augment_images(request(base, tmp_path / "o", classes=("Scratch",)))
    copies = {count.label: count.copies for count in report.classes}
    assert copies["Good"] == copies["Rust"] == 0
    assert copies["Scratch"] > 0
    with pytest.raises(UsageError, match="--to-count 3 has no effect"):
        augment_images(
            request(base, tmp_path / "p", to_count=3, classes=("Good", "Rust"))
        )
    with pytest.raises(UsageError, match="--classes rust: not in the data"):
        augment_images(request(base, tmp_path / "p", classes=("rust",)))
    assert not (tmp_path / "p").exists()


def test_a_later_grouped_split_keeps_copies_with_their_source(base, tmp_path):
    out = tmp_path / "out"
    report = augment_images(request(base, out, split=None, unlabeled=()))
    assert report.split is None
    assert any("draw it first" in note for note in report.notes)
    catalog = scan(out)
    split, _ = make_split(catalog, catalog.groups(), test=0.4, seed=2)
    assert split.part("test")
    for row in read(out / "provenance.csv"):
        parts = {split.by_path[row[name]].part for name in ("copy", "source")}
        assert len(parts) == 1


def test_data_with_test_folders(base, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(base / "data", tmp_path / "d" / part)
    report = augment_images(
        request(base, tmp_path / "out", data=tmp_path / "d", split=None, unlabeled=())
    )
    rows = read(tmp_path / "out" / "provenance.csv")
    assert all(row["source"].startswith("train/") for row in rows)
    catalog = scan(tmp_path / "out")
    tests = [record for record in catalog.records if record.part == "test"]
    assert len(tests) == 24
    assert all(record.path.startswith("test/") for record in tests)
    assert {c.label: c.after for c in report.classes}["Scratch"] == 12


def test_python_policies_and_policies_that_change_nothing(base, tmp_path):
    (tmp_path / "add.py").write_text(
        "def augment(image, rng):\n    return image // 2 + rng.integers(9)\n"
    )
    (tmp_path / "add.py").write_text(
        "import numpy as np\n"
        "def augment(image, rng):\n"
        "    return (image // 2 + rng.integers(9)).astype(np.uint8)\n"
    )
    policy = load_policy(str(tmp_path / "add.py"))
    report = augment_images(request(base, tmp_path / "a", policy=policy))
    assert (tmp_path / "a" / "policy" / "add.py").is_file()
    assert not any("equal" in note for note in report.notes)
    none = augment_images(request(base, tmp_path / "b", policy=Policy("none")))
    assert any("every copy equals its source" in note for note in none.notes)
    half = augment_images(request(base, tmp_path / "c", policy=Policy("f", hflip=0.5)))
    assert any("copies equal their source" in note for note in half.notes)
    assert any("equal another copy" in note for note in half.notes)
    changed = [row["changed"] for row in read(tmp_path / "c" / "provenance.csv")]
    assert {"yes", "no"} == set(changed)


def test_unreadable_images_get_no_copies(base, tmp_path):
    data = shutil.copytree(base / "data", tmp_path / "d")
    (data / "Scratch" / "Scratch00.png").write_bytes(b"broken")
    values = {"data": data, "split": None, "unlabeled": ()}
    report = augment_images(request(base, tmp_path / "out", **values))
    assert any("Scratch/Scratch00.png" in n and "decoded" in n for n in report.notes)
    assert {c.label: (c.before, c.after) for c in report.classes}["Scratch"] == (3, 12)
    for path in (data / "Scratch").iterdir():
        path.write_bytes(b"broken " + path.name.encode())
    with pytest.raises(DataError, match="class 'Scratch': no usable training image"):
        augment_images(request(base, tmp_path / "p", **values))


def test_odd_names_come_back_from_the_manifest(tmp_path):
    for label in ("=Good", 'Öl, "alt"'):
        for name in ("-1.png", "@x,y.png"):
            (tmp_path / "d" / label).mkdir(parents=True, exist_ok=True)
            level = len(label) + len(name)
            Image.new("L", (6, 6), level).save(tmp_path / "d" / label / name)
    values = {"data": tmp_path / "d", "split": None, "unlabeled": (), "to_count": 3}
    augment_images(request(tmp_path, tmp_path / "out", **values))
    catalog = scan(tmp_path / "out")
    assert catalog.class_counts == {"=Good": 3, 'Öl, "alt"': 3}
    assert catalog.notes == ()


def test_the_state_names_what_decides(base, tmp_path):
    augment_images(request(base, tmp_path / "out"))
    state = json.loads((tmp_path / "out" / "augment.json").read_text())
    assert state["to_count"] == 12
    assert state["policy"]["fingerprint"] == POLICY.fingerprint()
    assert str(tmp_path) not in json.dumps(state)


def test_a_name_that_is_not_utf8_gets_a_group_that_a_manifest_can_hold(base, tmp_path):
    data = shutil.copytree(base / "data", tmp_path / "d")
    odd = data / "Scratch" / os.fsdecode(b"Schl\xfcssel.png")
    (data / "Scratch" / "Scratch00.png").rename(odd)
    values = {"data": data, "split": None, "unlabeled": ()}
    augment_images(request(base, tmp_path / "out", **values))
    catalog = scan(tmp_path / "out")
    assert catalog.class_counts == dict.fromkeys(("Good", "Rust", "Scratch"), 12)
    groups = catalog.groups()
    mine = [path for path in groups if "Schl" in path]
    assert len(mine) >= 3  # of 4 images, 8 copies
    assert {groups[path] for path in mine} == {sha256_file(odd)}
    assert groups["Rust/Rust00.png"] == "Rust/Rust00.png"


def test_copies_of_equal_names_are_listed_with_their_sources(tmp_path):
    rows = ["path,label"]
    for name, label in (("a.png", "Good"), ("a.bmp", "Rust"), ("b.png", "Rust")):
        Image.new("L", (6, 6), len(rows)).save(tmp_path / name)
        rows.append(f"{name},{label}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    values = {"data": tmp_path / "manifest.csv", "split": None, "unlabeled": ()}
    out = tmp_path.parent / f"{tmp_path.name}-out"
    with pytest.raises(DataError) as caught:
        augment_images(request(tmp_path, out, to_count=9, **values))
    said = str(caught.value)
    assert ".png (of a.png and of a.bmp)" in said
    assert "would be called like other images: a.aug0000" in said
    assert "rename images" in said
    assert not out.exists()
