"""Filters against colorsys, known random numbers, and what they are for."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from tests.augment.helpers import make_images
from uda.augment import filters

PLACE = np.array([0.25, 0.75])


def test_a_hue_shift_of_a_third_turns_red_into_green():
    red = np.array([[[255, 0, 0]]], dtype=np.uint8)
    assert filters.shift_hsv(red, "Hue", 120.0).tolist() == [[[0, 255, 0]]]
    assert filters.shift_hsv(red, "Hue", -120.0).tolist() == [[[0, 0, 255]]]
    assert filters.shift_hsv(red, "Saturation", -1.0).tolist() == [[[255] * 3]]
    assert filters.shift_hsv(red, "Value", -1.0).tolist() == [[[0, 0, 0]]]


def test_all_sectors_of_the_hue_follow_colorsys():
    image = make_images("noise", 1, 20, 20, 3)[0]
    shifted = filters.shift_hsv(image, "Hue", 100.0).reshape(-1, 3)
    for old, new in zip(image.reshape(-1, 3).tolist(), shifted.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(level / 255 for level in old))
        expected = colorsys.hsv_to_rgb((h + 100 / 360) % 1.0, s, v)
        np.testing.assert_allclose(new, 255 * np.array(expected), atol=0.5000001)


def test_noise_has_its_deviation_and_its_place():
    flat = np.full((100, 100, 3), 128, dtype=np.uint8)
    noise = filters.add_noise(flat, 10.0, PLACE)
    assert abs(noise.std() - 10) < 0.15
    assert abs(noise.mean() - 128) < 0.2
    other = filters.add_noise(flat, 10.0, PLACE + 2.0**-32)
    correlation = np.corrcoef(noise.ravel(), other.ravel())[0, 1]
    assert abs(correlation) < 0.03
    np.testing.assert_array_equal(filters.add_noise(flat, 10.0, PLACE), noise)


def test_noise_starts_with_the_published_outputs_of_splitmix64():
    # The state 0 gives e220a8397b1dcdaf and 6e789e6aa1b965f4 first.
    words = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    sums = [sum((w >> bits) & 0xFFFF for bits in (0, 16, 32, 48)) for w in words]
    expected = [int(np.floor(128 + 50 * (s - 131070) / 37837.2 + 0.5)) for s in sums]
    flat = np.full((1, 2, 1), 128, dtype=np.uint8)
    assert filters.add_noise(flat, 50.0, np.zeros(2)).ravel().tolist() == expected


def test_light_comes_from_one_side():
    flat = np.full((9, 5, 1), 100, dtype=np.uint8)
    lit = filters.illuminate(flat, 0.5, np.array([0.0, 0.0]))[:, :, 0]
    assert lit[0].tolist() == lit[8].tolist() == [50, 75, 100, 125, 150]
    lit = filters.illuminate(flat, 0.5, np.array([0.25, 0.0]))[:, :, 0]
    assert (lit[0, 0], lit[4, 4], lit[8, 2]) == (50, 100, 150)
    one = np.full((1, 1, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(filters.illuminate(one, 0.9, PLACE), one)


def test_a_highlight_is_white_at_its_centre_and_fades():
    flat = np.full((40, 80, 1), 100, dtype=np.uint8)
    place = np.array([20.5 / 40, 30.5 / 80])
    spot = filters.highlight(flat, 1.0, place)[:, :, 0]
    assert spot[20, 30] == 255
    assert spot[20, 40] == round(100 + 155 / 4)  # one radius of 40 / 4 px away
    assert spot[39, 79] < 103


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_close_at_high_quality_and_not_at_low(channels):
    # Equal channels: JPEG halves the resolution of colours.
    image = np.repeat(make_images("smooth", 1, 33, 20, 1)[0], channels, axis=2)
    error = {
        quality: np.abs(filters.compress(image, quality).astype(int) - image).mean()
        for quality in (5, 95)
    }
    assert error[95] < 4 < error[5]


def test_folding_is_the_reflection_of_numpy():
    for side in (1, 2, 3, 7):
        expected = np.pad(np.arange(side), 40, mode="reflect")
        index = np.arange(-40, side + 40)
        np.testing.assert_array_equal(filters.fold(index, side), expected)


def test_half_a_pixel_is_the_mean_of_neighbours():
    image = np.array([[[10], [20], [40]]], dtype=np.uint8)
    matrix = np.array([1.0, 0.0, 0.5, 0.0, 1.0, 0.0])
    assert filters.mirrored_bilinear(image, matrix).ravel().tolist() == [15, 30, 30]
