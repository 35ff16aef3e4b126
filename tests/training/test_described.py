"""The classical description of a run's images."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from uda.models.descriptors import texture_features
from uda.models.deviation import Typical, deviation_features
from uda.training.described import describe

RNG = np.random.default_rng(1)
SMALL = RNG.integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
LARGE = RNG.integers(0, 256, (30, 32, 32, 1), dtype=np.uint8)
PARTS = SimpleNamespace(
    pool=SimpleNamespace(images=SMALL),
    texture_pool=SimpleNamespace(images=LARGE),
    training_rows=np.arange(5, 25),
)


def test_texture_of_the_larger_images_and_deviations_of_the_smaller():
    rows = np.array([3, 7, 29])
    found = describe(PARTS, rows)
    typical = Typical.of(SMALL[5:25])
    expected = np.concatenate(
        [texture_features(LARGE[rows]), deviation_features(SMALL[rows], typical)], 1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_images_outside_the_training_rows_decide_nothing_about_others():
    changed = SMALL.copy()
    changed[:5] = 0
    other = SimpleNamespace(
        pool=SimpleNamespace(images=changed),
        texture_pool=PARTS.texture_pool,
        training_rows=PARTS.training_rows,
    )
    rows = np.arange(5, 30)
    np.testing.assert_array_equal(describe(PARTS, rows), describe(other, rows))
