"""What strays from the typical image, against a literal reading of the definition."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from uda.data.images import fit, read_image
from uda.models.deviation import (
    NUM_MAPS,
    PER_MAP,
    Typical,
    deviation_features,
    framed_alike,
)
from uda.training.described import FRAMED

RNG = np.random.default_rng(4)


def parts_on_a_line(num: int, side: int = 24, seed: int = 0) -> np.ndarray:
    """The same ring on every photo, some noise, another exposure each."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    ring = 90 + 80 * (np.abs(np.hypot(y, x) - side / 4) < 2)
    light = draw.uniform(0.8, 1.2, (num, 1, 1))
    noisy = light * (ring + draw.normal(0, 3, (num, side, side)))
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None]


def literal_responses(image: np.ndarray) -> list[np.ndarray]:
    gray = image.mean(axis=2) / 255
    gray = gray * 0.4 / (gray.mean() + 0.05)
    fine, middle, coarse = (gaussian_filter(gray, w) for w in (0.7, 1.5, 3.0))
    variance = uniform_filter(gray**2, 5) - uniform_filter(gray, 5) ** 2
    dy, dx = np.gradient(fine)
    return [
        fine, middle, coarse, fine - middle, middle - coarse,
        np.log(np.sqrt(np.maximum(variance, 0)) + 0.01),
        np.log(np.sqrt(dy**2 + dx**2) + 0.01),
    ]  # fmt: skip


def literal_features(image: np.ndarray, usual: list[np.ndarray]) -> list[float]:
    """Describe one image; ``usual`` are the (N, H, W) responses of the pile."""
    found: list[float] = []
    for response, pile in zip(literal_responses(image), usual, strict=True):
        middle = np.median(pile, axis=0)
        spread = 1.4826 * np.median(np.abs(pile - middle), axis=0) + 0.01
        stray = (response - middle) / spread
        levels = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
        found += [np.arcsinh(np.quantile(stray, q)) for q in levels]
        found += [np.log(np.mean(np.abs(stray) ** p) + 0.01) for p in (1, 2, 4)]
        smooth = gaussian_filter(stray, 2)
        found += [
            np.arcsinh(np.quantile(smooth, q)) for q in (0.001, 0.01, 0.99, 0.999)
        ]
    return found


def test_equals_the_literal_definition():
    pile = RNG.integers(0, 256, (9, 16, 12, 3), dtype=np.uint8)
    asked = RNG.integers(0, 256, (3, 16, 12, 3), dtype=np.uint8)
    usual = [np.stack(maps) for maps in zip(*map(literal_responses, pile), strict=True)]
    expected = np.array([literal_features(image, usual) for image in asked])
    found = deviation_features(asked, Typical.of(pile))
    assert found.shape == (3, NUM_MAPS * PER_MAP)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_a_spot_on_a_part_strays_and_another_exposure_does_not():
    typical = Typical.of(parts_on_a_line(60))
    fresh = parts_on_a_line(20, seed=1)
    spotted = fresh.copy()
    spotted[:, 4:7, 15:18] //= 3
    usual = deviation_features(fresh, typical)
    odd = deviation_features(spotted, typical)
    assert odd[:, 0].max() < usual[:, 0].min()  # the darkest place's deviation
    bright = np.clip(fresh * 1.15, 0, 255).astype(np.uint8)
    other = deviation_features(bright, typical)
    moved = np.abs(other - usual)[:, :9].mean()
    assert moved < 0.2 * np.abs(odd - usual)[:, 0].mean()


def test_threads_and_batches_change_nothing():
    typical = Typical.of(parts_on_a_line(10))
    images = parts_on_a_line(150, seed=2)
    whole = deviation_features(images, typical, threads=1)
    np.testing.assert_array_equal(whole, deviation_features(images, typical, threads=3))
    alone = deviation_features(images[70:71], typical)
    np.testing.assert_allclose(alone[0], whole[70], rtol=1e-5, atol=1e-5)
    assert deviation_features(images[:0], typical).shape == (0, whole.shape[1])


def test_a_place_that_never_changes_has_a_spread():
    flat = np.full((5, 12, 12, 1), 100, np.uint8)
    found = deviation_features(flat, Typical.of(flat))
    assert np.isfinite(found).all()


def test_how_alike_images_are_framed_is_the_share_of_what_they_have_in_common():
    rng = np.random.default_rng(4)
    common, own = rng.normal(0, 3, (32, 32, 1)), rng.normal(0, 1, (600, 32, 32, 1))
    brightness = rng.normal(128, 40, (600, 1, 1, 1))
    light = np.linspace(0.5, 1.5, 32)[None, None, :, None]
    found = framed_alike(common + own)
    assert abs(found - 9 / 10) < 0.02
    assert abs(framed_alike(common + own + brightness) - found) < 1e-9
    assert abs(framed_alike(own)) < 0.01
    assert abs(framed_alike(own[:3])) < 0.05  # so few have a third by chance
    assert framed_alike(light * (20 * own + 128)) < 0.05  # a lamp from the side
    assert abs(framed_alike(np.repeat(common[None], 5, axis=0)) - 1) < 1e-9
    assert framed_alike(np.full((5, 4, 4, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize(
    ("name", "alike"), [("elpv", True), ("neu", False), ("magnetic_tile", False)]
)
def test_real_sets_lie_far_from_the_limit(real_data, name, alike):
    """Solar cells are framed alike; steel and tiles in a padded frame are not."""
    with (real_data / name / "manifest.csv").open() as stream:
        paths = [row["path"] for row in csv.DictReader(stream)][::9]
    images = [read_image(real_data / name / path, channels=1) for path in paths]
    small = np.stack([fit(image, (64, 64), fill=(128,)) for image in images])
    found = framed_alike(small)
    assert (found > FRAMED + 0.2) if alike else (found < FRAMED - 0.2)
