"""The classical description of a run's images."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from uda.models.descriptors import texture_features
from uda.models.deviation import Typical, deviation_features
from uda.training.described import describe, frame_of, typical_of

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


def framed(height, width, channels=1):
    ground = RNG.integers(40, 200, (1, height, width, 1))
    own = RNG.integers(-20, 20, (30, height, width, channels))
    return np.clip(ground + own, 0, 255).astype(np.uint8)


def test_deviations_alone_are_the_last_columns():
    rows = np.array([3, 7, 29])
    both = describe(parts(), rows, typical_of(parts()))
    alone = describe(parts(), rows, typical_of(parts()), texture=False)
    assert 0 < alone.shape[1] < both.shape[1]
    np.testing.assert_array_equal(alone, both[:, -alone.shape[1] :])


def test_what_is_framed_alike_is_read_in_detail():
    alike = framed(64, 32)
    found = frame_of(parts(alike, alike[:, ::2, ::2]))
    assert found.size == (64, 32)
    assert typical_of(parts(alike, alike[:, ::2, ::2])).size == (32, 16)
    changed = np.concatenate([alike[:5] * 0, alike[5:]])
    again = frame_of(parts(changed, alike[:, ::2, ::2]))
    np.testing.assert_array_equal(found.middle, again.middle)


def test_detail_is_bounded():
    assert frame_of(parts(framed(300, 150), framed(300, 150))).size == (256, 128)


def test_what_has_no_frame_or_has_colour_is_read_as_texture():
    assert frame_of(parts()) is None
    assert frame_of(parts(framed(32, 32, 3), framed(16, 16, 3))) is None
