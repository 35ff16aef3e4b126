"""Pixels: colours in the order red, green, blue; shifts against scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from uda.data.records import Record
from uda.inspect.pixels import (
    all_grey,
    describe,
    dominant_colors,
    look_at,
    modes,
    shift,
    sizes,
)


def plain(red: int, green: int, blue: int, side: int = 30) -> np.ndarray:
    return np.full((side, side, 3), (red, green, blue), np.uint8)


def test_red_is_red() -> None:
    image = plain(200, 30, 10)
    image[:9] = (10, 20, 220)
    first, second, *_ = dominant_colors([describe(image)])
    assert (first.red, first.green, first.blue) == (200, 30, 10)
    assert first.code == "#c81e0a"
    assert first.share == pytest.approx(0.7, abs=0.05)
    assert second.blue > 200 > second.red
    assert dominant_colors([]) == []


def test_a_tone_between_two_cells_is_one_colour() -> None:
    noise = np.random.default_rng(0).integers(-6, 7, (30, 30, 1))
    image = (96 + noise).repeat(3, axis=2).astype(np.uint8)
    (color,) = dominant_colors([describe(image)])
    assert abs(color.red - 96) <= 1
    assert color.share == 1.0


def test_grey_is_seen_through_compression() -> None:
    assert all_grey([describe(plain(90, 90, 91))])
    assert not all_grey([describe(plain(90, 90, 90)), describe(plain(90, 60, 90))])


def test_brightness_and_contrast() -> None:
    look = describe(plain(100, 100, 100))
    assert look.brightness == pytest.approx(100, abs=0.01)
    assert look.contrast == pytest.approx(0, abs=0.01)
    assert (look.width, look.height) == (30, 30)


def test_files_modes_sizes_and_broken_ones(tmp_path: Path) -> None:
    Image.fromarray(plain(1, 2, 3)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"")
    looks = look_at([Record(f"{n}.png", tmp_path) for n in "abc"], threads=2)
    assert modes(looks) == {"RGB": 1, "L": 1}
    assert dict(sizes(looks)) == {(30, 30): 1, (9, 8): 1}
    assert looks[2].reason
    assert not looks[0].reason


def test_shift_is_the_kolmogorov_smirnov_distance() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.normal(0, 1, 300), generator.normal(0.5, 1, 200)
    found = shift("brightness", one.tolist(), two.tolist())
    reference = ks_2samp(one, two, method="asymp")
    assert found.distance == pytest.approx(reference.statistic)
    assert found.beyond_chance == (reference.pvalue < 0.01)
    same = shift("brightness", one.tolist(), one.tolist())
    assert same.distance == 0.0
    assert not same.beyond_chance


def literal_colors(pixels: np.ndarray) -> list[tuple[int, int, int, float]]:
    """Three times: the fullest cell of 32 levels, with its neighbours."""
    left, found = [tuple(int(v) for v in row) for row in pixels], []
    total = len(left)
    while len(found) < 3 and len(left) > 0.02 * total:
        cells = [tuple(v // 32 for v in row) for row in left]
        heart = min(set(cells), key=lambda cell: (-cells.count(cell), cell))
        near = [
            max(abs(a - b) for a, b in zip(cell, heart, strict=True)) <= 1
            for cell in cells
        ]
        mine = np.array([row for row, one in zip(left, near, strict=True) if one])
        found.append((*(round(float(v)) for v in mine.mean(axis=0)), len(mine) / total))
        left = [row for row, one in zip(left, near, strict=True) if not one]
    return sorted(found, key=lambda color: -color[3])


@pytest.mark.parametrize("seed", range(8))
def test_dominant_colors_by_hand(seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Tones on a line share their neighbours: what one takes the next must not count.
    hearts = generator.integers(0, 256, (3, 3))
    line = hearts[0] + np.array([[40], [80], [-40]])
    hearts = np.concatenate([hearts, line])
    image = hearts[generator.integers(6, size=(24, 24))]
    image = np.clip(image + generator.normal(0, 9, image.shape), 0, 255)
    looks = [describe(image.astype(np.uint8)), describe(image[::-1].astype(np.uint8))]
    every = np.concatenate([look.small.reshape(-1, 3) for look in looks])
    found, expected = dominant_colors(looks), literal_colors(every)
    assert [c.share for c in found] == pytest.approx([c[3] for c in expected])
    for color, literal in zip(found, expected, strict=True):  # a half may round up
        assert (color.red, color.green, color.blue) == pytest.approx(literal[:3], abs=1)


def test_greys_that_share_a_neighbour_stay_within_eight_bits() -> None:
    tones = np.repeat(np.uint8([110, 150, 190]), [4000, 1500, 3000])
    image = np.repeat(tones.reshape(100, 85)[:, :, None], 3, axis=2)
    for color in dominant_colors([describe(image)]):
        assert max(color.red, color.green, color.blue) <= 190
