"""The classical description of a run's images."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from uda.models.descriptors import texture_features
from uda.models.deviation import Typical, deviation_features
from uda.training.described import describe, typical_frame, typical_of

RNG = np.random.default_rng(1)
SMALL = RNG.integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
LARGE = RNG.integers(0, 256, (30, 32, 32, 1), dtype=np.uint8)
HALVED = LARGE.reshape(30, 16, 2, 16, 2, 1).mean((2, 4))


def parts(detail=LARGE, small=SMALL):
    return SimpleNamespace(
        pool=SimpleNamespace(images=small),
        texture_pool=SimpleNamespace(images=detail),
        training_rows=np.arange(5, 25),
    )


def test_texture_of_the_larger_images_and_deviations_at_the_networks_size():
    rows = np.array([3, 7, 29])
    found = describe(parts(), rows, typical_of(parts()))
    typical = Typical.of(HALVED[5:25])
    expected = np.concatenate(
        [texture_features(LARGE[rows]), deviation_features(HALVED[rows], typical)], 1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_deviations_are_read_at_64_pixels_at_most():
    large = RNG.integers(0, 256, (26, 100, 50, 1), dtype=np.uint8)
    assert typical_of(parts(large, large)).size == (64, 32)


def test_images_outside_the_training_rows_decide_nothing_about_others():
    changed = LARGE.copy()
    changed[:5] = 0
    for one, two in zip(typical_of(parts()), typical_of(parts(changed)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_deviations_alone_for_images_that_are_framed_alike():
    rows = np.array([3, 7, 29])
    both = describe(parts(), rows, typical_of(parts()))
    alone = describe(parts(), rows, typical_of(parts()), texture=False)
    np.testing.assert_array_equal(alone, both[:, -alone.shape[1] :])
    assert typical_frame(parts()) is None


def test_what_is_framed_alike_is_read_in_detail():
    ground = RNG.integers(40, 200, (1, 160, 80, 1))
    alike = np.clip(ground + RNG.integers(-20, 20, (30, 160, 80, 1)), 0, 255)
    alike = alike.astype(np.uint8)
    small = alike.reshape(30, 40, 4, 20, 4, 1).mean((2, 4)).astype(np.uint8)
    found = typical_frame(parts(alike, small))
    assert found.size == (128, 64)
    assert typical_of(parts(alike, small)).size == (40, 20)
    again = typical_frame(parts(np.concatenate([alike[:5] * 0, alike[5:]]), small))
    np.testing.assert_array_equal(found.middle, again.middle)
