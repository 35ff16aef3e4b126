"""Tables and fixed-point maps against Pillow and against plain numbers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from uda.augment import tables
from uda.augment.ops import OPS

RAMP = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))


def on_ramp(picture):
    return np.asarray(picture).ravel()


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(bits):
    expected = on_ramp(ImageOps.posterize(RAMP, bits))
    np.testing.assert_array_equal(tables.posterize_table(bits), expected)


@pytest.mark.parametrize("threshold", [0, 1, 26, 128, 231, 255, 256])
def test_solarize(threshold):
    expected = on_ramp(ImageOps.solarize(RAMP, threshold))
    np.testing.assert_array_equal(tables.solarize_table(threshold), expected)


def test_invert():
    np.testing.assert_array_equal(tables.invert_table(), 255 - np.arange(256))


def test_blend_equals_pillow_for_every_flat_level():
    for factor in (0.0, 0.1, 0.28, 0.5, 0.86, 1.0, 1.3, 1.72, 4.0):
        for level in (0, 1, 77, 128, 255):
            expected = Image.blend(Image.new("L", RAMP.size, level), RAMP, factor)
            np.testing.assert_array_equal(
                tables.blend_table(level, factor), on_ramp(expected)
            )


def test_autocontrast_of_one_level_changes_nothing():
    histogram = np.bincount([9, 9, 9], minlength=256)
    np.testing.assert_array_equal(tables.autocontrast_table(histogram), np.arange(256))


def test_autocontrast_truncates_like_pillow():
    # 100 * 5.1 - 50 * 5.1 is a hair below 255 in binary: Pillow gives 254.
    picture = Image.fromarray(np.array([[50, 75, 100]], dtype=np.uint8))
    table = tables.autocontrast_table(np.bincount([50, 75, 100], minlength=256))
    expected = list(ImageOps.autocontrast(picture).tobytes())
    assert [table[50], table[75], table[100]] == expected == [0, 127, 254]


def test_equalize_of_few_pixels_changes_nothing():
    histogram = np.bincount([1, 2, 3], minlength=256)
    np.testing.assert_array_equal(tables.equalize_table(histogram), np.arange(256))


def test_equalize_is_monotonic():
    histogram = np.random.default_rng(0).integers(0, 50, 256)
    assert (np.diff(tables.equalize_table(histogram).astype(int)) >= 0).all()


def test_whole_translation_is_a_whole_shift():
    a0, a1, a2, a3, a4, a5 = tables.affine(OPS["TranslateX"].id, 5.0, 10, 10)
    assert (a0, a1, a3, a4) == (65536, 0, 0, 65536)
    assert (a2 >> 16, a5 >> 16) == (5, 0)


def test_half_turn_reverses_both_axes():
    a0, a1, a2, a3, a4, a5 = tables.affine(OPS["Rotate"].id, 180.0, 6, 9)
    assert (a0, a1, a3, a4) == (-65536, 0, 0, -65536)
    assert (a2 >> 16, a5 >> 16) == (8, 5)
