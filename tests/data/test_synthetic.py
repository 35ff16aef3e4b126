"""The demo set: its counts, its bytes, and that test parts stay apart."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uda.data.records import scan
from uda.data.synthetic import (
    NATURAL_RATES,
    TEST_COUNTS,
    TRAIN_COUNTS,
    _plan,
    write_demo,
)
from uda.errors import DataError


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "set", unlabeled=40, size=32)


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(str(path.relative_to(folder)).encode())
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def test_counts_of_the_notes(demo):
    for part, counts in (("train", TRAIN_COUNTS), ("test", TEST_COUNTS)):
        found = {f.name: len(list(f.iterdir())) for f in (demo / part).iterdir()}
        assert found == counts
    assert TRAIN_COUNTS == {"Good": 94, "Scratch": 32, "Rust": 11, "Grind_Marks": 7}
    assert len(list((demo / "unlabeled").iterdir())) == 40
    assert "Synthetic" in (demo / "README.txt").read_text()
    with Image.open(next((demo / "train" / "Rust").iterdir())) as image:
        assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "JPEG")


def test_the_scanner_reads_it(demo):
    catalog = scan(demo)
    assert catalog.classes == tuple(sorted(TRAIN_COUNTS))
    parts = Counter(record.part for record in catalog.records)
    assert parts == {"train": 144, "test": 150, "unlabeled": 40}


def test_same_seed_same_bytes(demo, tmp_path):
    again = write_demo(tmp_path / "again", unlabeled=40, size=32)
    assert digest(again) == digest(demo)
    other = write_demo(tmp_path / "other", seed=1, unlabeled=40, size=32)
    assert digest(other) != digest(demo)


def test_the_plan_of_the_whole_set():
    photos = list(_plan(0, 600))
    owners = {"train": set(), "test": set(), "unlabeled": set()}
    for photo in photos:
        owners[photo.path.split("/")[0]].add(photo.part)
    assert len({photo.path for photo in photos}) == len(photos) == 894
    assert not owners["test"] & (owners["train"] | owners["unlabeled"])
    loose = [photo for photo in photos if photo.path.startswith("unlabeled")]
    assert len(loose) == 600
    shares = Counter(photo.label for photo in loose)
    for label, rate in NATURAL_RATES.items():
        assert shares[label] / 600 == pytest.approx(rate, abs=0.03)
    times = Counter(p.part for p in photos if not p.path.startswith("test"))
    assert set(times.values()) == {1, 2}
    assert sum(count == 2 for count in times.values()) == 60
    labels: dict[int, set[str]] = {}
    for photo in photos:
        labels.setdefault(photo.part, set()).add(photo.label)
    assert all(len(names) == 1 for names in labels.values())


def test_two_photos_of_a_part_differ_but_look_alike(demo):
    with (demo / "parts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 144 + 150 + 40
    by_part: dict[str, list[str]] = {}
    for row in rows:
        by_part.setdefault(row["part"], []).append(row["path"])
    twins = [paths for paths in by_part.values() if len(paths) == 2]
    assert len(twins) == 4
    for paths in twins:
        one, two = ((demo / path).read_bytes() for path in paths)
        assert one != two


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        write_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="not an empty folder"):
        write_demo(tmp_path / "mine.txt")


def test_an_empty_folder_is_taken_and_a_stop_leaves_nothing(tmp_path, monkeypatch):
    target = tmp_path / "demo"
    target.mkdir()

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "rint", stop)
        with pytest.raises(KeyboardInterrupt):
            write_demo(target, unlabeled=10, size=16)
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == []
    write_demo(target, unlabeled=10, size=16)
    assert (target / "README.txt").is_file()
