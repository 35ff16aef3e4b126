"""The contact sheet shows every relation, and a turned image as it was laid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from uda.data.duplicates import Groups, Pair
from uda.data.records import Record
from uda.inspect.sheet import choose_examples, write_sheet


def groups_of(pairs: list[Pair], count: int) -> Groups:
    ids = np.arange(count)
    for pair in pairs:
        ids[pair.second] = ids[pair.first]
    return Groups(tuple(f"{i}.png" for i in range(count)), ids, tuple(pairs))


def test_examples_are_spread_over_relations_and_scores() -> None:
    pairs = [Pair(2 * i, 2 * i + 1, "shifted", 0.9 - 0.01 * i) for i in range(20)]
    pairs += [Pair(40, 41, "turned", 0.5, turn=3)]
    chosen = choose_examples(groups_of(pairs, 42), per_relation=4)
    assert [p.relation for p in chosen] == ["shifted"] * 4 + ["turned"]
    assert chosen[0] is pairs[0]  # the surest
    assert chosen[3] is pairs[19]  # the least sure


def test_a_sheet_is_written(tmp_path: Path) -> None:
    image = np.zeros((20, 30), np.uint8)
    image[:4] = 255
    Image.fromarray(image).save(tmp_path / "0.png")
    Image.fromarray(image[::-1]).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    records = [Record(f"{i}.png", tmp_path) for i in range(3)]
    groups = groups_of([Pair(0, 1, "turned", 0.9, turn=2), Pair(0, 2, "exact", 1.0)], 3)
    assert write_sheet(tmp_path / "sheet.png", groups, records) == 2
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    assert pixels.shape[1] > pixels.shape[0]
    assert pixels.min() < 10  # the images are there


def test_no_pairs_no_sheet(tmp_path: Path) -> None:
    assert write_sheet(tmp_path / "sheet.png", groups_of([], 3), []) == 0
    assert not (tmp_path / "sheet.png").exists()


def test_twelve_bits_in_sixteen_are_seen(tmp_path: Path) -> None:
    """A camera of 12 bits is not shown as if it had 16: nearly black."""
    values = np.linspace(500, 3500, 900, dtype=np.uint16).reshape(30, 30)
    for name in "01":
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    records = [Record(f"{i}.png", tmp_path) for i in range(2)]
    groups = groups_of([Pair(0, 1, "exact", 1.0)], 2)
    assert write_sheet(tmp_path / "sheet.png", groups, records) == 1
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))[6:174, 6:174]
    assert pixels.max() > 180
