"""Descriptors against scikit-image and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from skimage.feature import local_binary_pattern

from uda.errors import DataError
from uda.models import descriptors
from uda.models.descriptors import (
    binary_patterns,
    gradients,
    halve,
    moments,
    spectrum,
    texture_features,
)


def pictures(num=3, side=24, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (num, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("radius", [1, 2])
def test_binary_patterns_equal_scikit_image(radius):
    values = pictures(4, 20)[:, :, :17, 0]
    images = values.astype(np.float32) / 255
    for found, image in zip(binary_patterns(images, radius), values, strict=True):
        codes = local_binary_pattern(image, 8, radius, "uniform")
        inner = codes[radius:-radius, radius:-radius].astype(int)
        expected = np.bincount(inner.ravel(), minlength=10) / inner.size
        # Interpolation in single precision may turn a rare near tie.
        assert found == pytest.approx(expected, abs=1.5 / inner.size)


def test_a_flat_surface_has_one_pattern():
    flat = np.full((1, 16, 16), 0.3, dtype=np.float32)
    assert binary_patterns(flat, 2)[0].tolist() == [0] * 8 + [1, 0]


def test_halve_is_the_mean_of_four():
    images = np.random.default_rng(0).uniform(size=(2, 5, 7)).astype(np.float32)
    found = halve(images)
    assert found.shape == (2, 2, 3)
    assert found[1, 1, 2] == pytest.approx(images[1, 2:4, 4:6].mean())


def test_moments_equal_scipy():
    values = np.random.default_rng(0).gamma(2, size=(3, 500)).astype(np.float32)
    found = moments(values)
    assert found[:, 0] == pytest.approx(values.mean(axis=1), rel=1e-4)
    assert found[:, 2] ** 3 == pytest.approx(stats.skew(values, axis=1), rel=1e-2)
    kurtosis = stats.kurtosis(values, axis=1, fisher=False)
    assert np.exp(found[:, 3]) - 1 == pytest.approx(kurtosis, rel=1e-2)


def test_gradient_orientation_of_stripes():
    ramp = np.tile(np.linspace(0, 1, 24, dtype=np.float32), (24, 1))
    across, along = gradients(ramp[None])[0], gradients(ramp.T[None].copy())[0]
    assert across[:8].argmax() == 0  # gradient points along x
    assert along[:8].argmax() == 4  # a quarter turn further
    assert across[8:16] == pytest.approx(along[8:16], abs=1e-3)  # turned alike


def test_spectrum_finds_the_frequency_and_the_direction():
    x = np.arange(64)
    wave = np.sin(2 * np.pi * x / 4).astype(np.float32)  # period of 4 pixels
    image = np.tile(wave, (64, 1))[None]
    rings, sectors = np.split(spectrum(image)[0], 2)
    assert rings.argmax() == 4  # 0.25 cycles per pixel, half way to 0.5
    assert sectors.argmax() == 0
    assert np.split(spectrum(image.transpose(0, 2, 1).copy())[0], 2)[1].argmax() == 4


def test_another_exposure_changes_the_moments_alone():
    bright = pictures(3, 64)
    dark = (bright * 0.6).round().astype(np.uint8)
    first, second = texture_features(bright), texture_features(dark)
    assert np.abs(first[:, :2] - second[:, :2]).min() > 0.1  # mean and deviation
    spread = np.abs(texture_features(pictures(3, 64, seed=1)) - first)
    moved = np.abs(first - second)[:, 4:]
    assert np.median(moved) < 0.3 * np.median(spread[:, 4:])
    assert moved.max() < 0.6


def test_features_do_not_depend_on_chunks_or_threads(monkeypatch):
    images = pictures(9)
    whole = texture_features(images, threads=1)
    monkeypatch.setattr(descriptors, "PER_THREAD", 2)
    calls = []
    cut = texture_features(images, threads=3, progress=lambda *a: calls.append(a))
    assert np.array_equal(whole, cut)
    assert calls[-1] == ("texture", 9, 9)
    assert whole.dtype == np.float32


def test_large_images_are_described_fewer_at_once():
    assert descriptors.chunk_of((1, 64, 64, 1), 128) == 128
    assert descriptors.chunk_of((1, 192, 192, 3), 128) == 128
    assert descriptors.chunk_of((1, 384, 384, 1), 128) == 32
    assert descriptors.chunk_of((1, 768, 768, 1), 1024) == 64
    assert descriptors.chunk_of((1, 9000, 9000, 1), 128) == 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 30, 1), (64, 64, 3), (33, 20, 1)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_features_are_finite_also_for_flat_images(shape, value):
    features = texture_features(np.full((2, *shape), value, np.uint8))
    assert np.isfinite(features).all()
    assert np.array_equal(features[0], features[1])


def test_no_images_have_a_table_of_the_same_width():
    none = texture_features(pictures(0))
    assert none.shape == (0, texture_features(pictures(1)).shape[1])


def test_images_without_texture_are_refused():
    with pytest.raises(DataError, match="8 x 8 pixels or more"):
        texture_features(pictures(2, side=7))
