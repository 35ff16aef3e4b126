"""Groups on images made here, where the truth is known, and on real sets if present."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.test_detail import texture
from uda.data.correlation import NUM_TURNS, turned
from uda.data.duplicates import Groups, find_groups
from uda.data.records import Record, scan
from uda.data.synthetic import write_demo

few = settings(max_examples=3, deadline=None)


def others(count: int = 6, first: int = 100) -> list[np.ndarray]:
    return [texture(i, (100, 100)) for i in range(first, first + count)]


def groups_of(images: Sequence[np.ndarray]) -> Groups:
    """Find groups among images in memory; paths of the result are the positions."""
    with tempfile.TemporaryDirectory() as folder:
        records = [Record(f"{i}.png", Path(folder)) for i in range(len(images))]
        for image, record in zip(images, records, strict=True):
            Image.fromarray(image).save(record.file)
        return find_groups(records)


def exposed(image: np.ndarray, gain: float, offset: float) -> np.ndarray:
    return np.clip(gain * image.astype(float) + offset, 0, 255).astype(np.uint8)


@few
@given(st.integers(0, 999), st.integers(-45, 45), st.integers(-45, 45))
def test_shifted_crops_of_one_texture_are_found(seed: int, dy: int, dx: int) -> None:
    photo = texture(seed, (190, 190))
    one = photo[45:145, 45:145]
    two = photo[45 + dy : 145 + dy, 45 + dx : 145 + dx]
    groups = groups_of([one, two, *others()])
    assert groups.ids[0] == groups.ids[1]
    assert len(set(groups.ids.tolist())) == 7


@few
@given(st.integers(0, 999), st.integers(1, NUM_TURNS - 1), st.integers(0, 30))
def test_turned_copies_and_crops_are_found(seed: int, turn: int, shift: int) -> None:
    photo = texture(seed, (130, 130))
    one, two = photo[:100, :100], photo[shift : shift + 100, shift : shift + 100]
    groups = groups_of([one, np.ascontiguousarray(turned(two, turn)), *others()])
    assert groups.ids[0] == groups.ids[1]
    assert groups.pairs[0].relation == "turned"
    assert groups.pairs[0].turn == turn
    assert len(groups.pairs) == 1


@few
@given(st.integers(0, 999), st.floats(0.4, 1.6), st.floats(-30, 30))
def test_other_exposures_are_found(seed: int, gain: float, offset: float) -> None:
    image = texture(seed, (100, 100))
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    other = exposed(exposed(image, gain, offset) + noise, 1, 0)
    groups = groups_of([image, other, *others()])
    assert groups.ids[0] == groups.ids[1]
    assert {p.relation for p in groups.pairs} <= {"near", "exposure", "exact"}


@few
@given(st.integers(0, 10_000))
def test_unrelated_textures_are_not_joined(seed: int) -> None:
    groups = groups_of(others(16, first=10_000 + 100 * seed))
    assert groups.pairs == ()
    assert groups.ids.tolist() == list(range(16))


def test_unrelated_stripes_are_not_joined() -> None:
    """Parallel scratches or bars look alike; they prove nothing."""
    images = []
    for i in range(10):
        image = texture(200 + i, (100, 100)).astype(float) * 0.3
        image[:, 20 + 3 * i : 24 + 3 * i] += 150
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    assert groups_of(images).pairs == ()


def test_resized_copies_are_found() -> None:
    image = texture(7, (200, 160))
    small = np.asarray(Image.fromarray(image).resize((90, 112), Image.Resampling.BOX))
    groups = groups_of([image, small, *others()])
    assert groups.ids[0] == groups.ids[1]


def test_exact_copies_colour_and_relations() -> None:
    image = np.stack([texture(i, (64, 64)) for i in (1, 2, 3)], axis=-1)
    groups = groups_of([image, image.copy(), *others(3)])
    assert [p.relation for p in groups.pairs] == ["exact"]
    assert groups.pairs[0].describe() == "the same file content"
    assert groups.members[0] == (0, 1)
    assert groups.sizes().tolist() == [2, 1, 1, 1]
    assert groups.hashes[0] == groups.hashes[1] != groups.hashes[2]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_small_sets(count: int) -> None:
    groups = groups_of(others(count))
    assert len(groups.ids) == count
    assert groups.pairs == ()


def test_flat_images_are_not_one_group() -> None:
    """Blank images share nothing that could be compared."""
    flat = [np.full((60, 60), 100 + i, np.uint8) for i in range(6)]
    assert groups_of(flat).pairs == ()


def save(folder: Path, images: dict[str, np.ndarray]) -> list[Record]:
    for name, image in images.items():
        Image.fromarray(image).save(folder / name)
    return [Record(name, folder, "a") for name in images]


def test_files_broken_ones_and_names(tmp_path: Path) -> None:
    photo = texture(5, (150, 150))
    records = save(
        tmp_path,
        {"a.png": photo[:110, :110], "b.png": photo[30:140, 25:135]}
        | {f"c{i}.png": image for i, image in enumerate(others(5))},
    )
    (tmp_path / "z.png").write_bytes(b"no image")
    records.append(Record("z.png", tmp_path, "a"))
    seen: list[tuple[str, int, int]] = []
    groups = find_groups(records, threads=2, progress=lambda *step: seen.append(step))
    assert groups.groups["a.png"] == groups.groups["b.png"] == "g0001"
    assert len(set(groups.groups.values())) == 7
    assert [path for path, _ in groups.skipped] == ["z.png"]
    assert groups.pairs[0].relation == "shifted"
    assert groups.pairs[0].overlap == pytest.approx(80 * 85 / 110**2, abs=0.02)
    assert ("reading images", 8, 8) in seen
    again = find_groups(records)
    assert again.pairs == groups.pairs  # threads change nothing


@pytest.mark.slow
def test_exposures_of_real_tiles_are_found(real_data: Path) -> None:
    """A part of magnetic_tile: whole groups, so that the truth is complete."""
    folder = real_data / "magnetic_tile"
    with (folder / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["group"] < "t060"]
    records = [Record(row["path"], folder, row["label"], row["group"]) for row in rows]
    groups = find_groups(records)
    truth = np.array([row["group"] for row in rows])
    same = truth[:, None] == truth[None, :]
    mine = groups.ids[:, None] == groups.ids[None, :]
    upper = np.triu(np.ones_like(same), 1)
    assert (same & mine & upper).sum() > 0.95 * (same & upper).sum()
    assert (~same & mine & upper).sum() == 0


def test_small_images_of_different_parts_are_not_joined(tmp_path):
    """Every labelled image of the demo set shows a part of its own."""
    folder = write_demo(tmp_path / "demo", size=48, unlabeled=200)
    records = scan(folder / "train").records
    found = find_groups(records, threads=2)
    assert len(set(found.groups.values())) == len(records) == 144
