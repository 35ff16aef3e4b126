"""Tables and fixed-point maps against Pillow and against plain numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.augment.helpers import widest
from uda.augment import tables
from uda.augment.ops import NAMES, OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy

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


def fixed(name, value, shape):
    policy = Policy("one", (widest(name),), count=1)
    plan = draw(policy, seed=0, stream="s", counters=[0], shape=shape)
    plan.value[:] = value
    return tables.fixed_point(tables.matrices(plan)[0, 0]).tolist()


def test_whole_translation_is_a_whole_shift():
    a0, a1, a2, a3, a4, a5 = fixed("TranslateX", 5.0, (10, 10))
    assert (a0, a1, a3, a4) == (65536, 0, 0, 65536)
    assert (a2 >> 16, a5 >> 16) == (5, 0)


def test_half_turn_reverses_both_axes():
    a0, a1, a2, a3, a4, a5 = fixed("Rotate", 180.0, (6, 9))
    assert (a0, a1, a3, a4) == (-65536, 0, 0, -65536)
    assert (a2 >> 16, a5 >> 16) == (8, 5)


def test_fixed_point_is_pillows_in_plain_numbers():
    """FIX(v) = floor(v * 65536 + .5) of the map at the first pixel's centre."""
    maps = np.random.default_rng(0).normal(0, 30, (40, 3, 6))
    found = tables.fixed_point(maps)
    assert found.shape == maps.shape
    for at in np.ndindex(40, 3):
        a, b, c, d, e, f = maps[at].tolist()
        plain = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
        assert found[at].tolist() == [math.floor(v * 65536 + 0.5) for v in plain]


@pytest.mark.parametrize(
    ("table", "changes_nothing"),
    [
        (tables.solarize_add_table(0), True),
        (tables.gamma_table(1.0), True),
        (tables.logit_table(), True),
        (tables.value_table(0.0), True),
        (tables.solarize_add_table(110), False),
        (tables.gamma_table(2.0), False),
        (tables.logit_table(shift=0.8), False),
        (tables.logit_table(factor=2.0), False),
        (tables.value_table(0.2), False),
    ],
)
def test_neutral_magnitudes_change_nothing(table, changes_nothing):
    assert np.array_equal(table, np.arange(256)) == changes_nothing


def test_curves_at_known_levels():
    assert tables.gamma_table(2.0)[[0, 51, 255]].tolist() == [0, 10, 255]
    assert tables.logit_table(shift=0.8)[51] == 128  # odds 1 : 4 times 4 : 1
    assert tables.logit_table(factor=2.0)[51] == 15  # odds 1 : 16 of 255
    assert tables.solarize_add_table(100)[[27, 127, 128]].tolist() == [127, 227, 128]
    assert tables.value_table(-0.2)[[0, 50, 61]].tolist() == [0, 0, 10]


@pytest.mark.parametrize("deviation", [0.0, 0.3, 1.0, 2.5, 10.0])
def test_the_box_of_a_blur_has_its_variance_and_weight(deviation):
    radius, weight, edge = tables.blur_box(deviation)
    offsets = np.arange(-radius - 1, radius + 2)
    weights = np.full(len(offsets), weight / 2**24)
    weights[[0, -1]] = edge / 2**24
    assert abs(weights.sum() - 1) < 1e-6
    assert abs(3 * (weights * offsets**2).sum() - deviation**2) < 1e-4


def literal(name, value, height, width):
    """The map of one op as Pillow's documentation and ``Image.rotate`` have it."""
    if name != "Rotate":
        column = {"ShearX": 1, "ShearY": 3, "TranslateX": 2, "TranslateY": 5}[name]
        matrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        matrix[column] += value
        return matrix
    angle = -math.radians(value % 360.0)
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]


def test_matrices_are_those_of_each_op():
    names = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
    policy = Policy("moves", tuple(widest(name) for name in names), count=2)
    plan = draw(policy, seed=0, stream="s", counters=np.arange(60), shape=(11, 17))
    maps = tables.matrices(plan)
    assert maps.shape == (60, 2, 6)
    for at in np.ndindex(60, 2):
        expected = literal(NAMES[plan.op[at]], float(plan.value[at]), 11, 17)
        np.testing.assert_allclose(maps[at], expected, atol=1e-12)


def test_the_map_of_a_crop_lies_inside_and_others_stay():
    policy = Policy("crop", (widest("ResizedCrop"), widest("Hue")), count=1)
    plan = draw(policy, seed=0, stream="s", counters=np.arange(80), shape=(11, 17))
    maps = tables.matrices(plan)[:, 0]
    crops = plan.op[:, 0] == OPS["ResizedCrop"].id
    assert 20 < crops.sum() < 60
    a, _, c, _, e, f = maps[crops].T
    np.testing.assert_allclose(a * e, plan.value[crops, 0])
    assert (c >= 0).all()
    assert (c + 17 * a <= 17 + 1e-9).all()
    assert (f + 11 * e <= 11 + 1e-9).all()
    assert (maps[~crops] == [1, 0, 0, 0, 1, 0]).all()


def test_pixels_of_bilinear_maps_lie_where_pillow_reads_them():
    # A ramp, sampled inside by Pillow's rotation, gives back its coordinates.
    ramp = np.add.outer(2.0 * np.arange(40), 3.0 * np.arange(40)).astype(np.uint8)
    turned = Image.fromarray(ramp).rotate(20.0, resample=Image.Resampling.BILINEAR)
    policy = Policy("turn", (widest("Rotate"),), count=1)
    plan = draw(policy, seed=0, stream="s", counters=[0], shape=(40, 40))
    plan.value[:] = 20.0
    a, b, c, d, e, f = tables.matrices(plan)[0, 0]
    for y, x in ((20, 20), (15, 25), (25, 17)):
        source_x = a * (x + 0.5) + b * (y + 0.5) + c
        source_y = d * (x + 0.5) + e * (y + 0.5) + f
        expected = 2 * (source_y - 0.5) + 3 * (source_x - 0.5)
        assert abs(float(np.asarray(turned)[y, x]) - expected) <= 1
