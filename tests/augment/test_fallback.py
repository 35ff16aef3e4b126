"""The numpy and Pillow executor equals one Pillow call after the other."""

from __future__ import annotations

import numpy as np
import pytest

from tests.augment.helpers import KINDS, everything, make_images, widest
from tests.reference import pillow_ops
from uda.augment import fallback
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy, load_policy

SHAPES = [(20, 20), (12, 17), (1, 1), (2, 2), (3, 3), (1, 7), (8, 2)]
MODES = [
    {},
    {"interpolation": "bilinear"},
    {"fill": "reflect"},
    {"interpolation": "bilinear", "fill": "reflect"},
]


def run(plan, images, fill):
    out = np.empty_like(images)
    fallback.apply(plan, images, fill=fill, out=out)
    return out


def compare(policy, shape, channels, *, num=6, executor=run):
    fill = np.array([117, 40, 201][:channels], dtype=np.uint8)
    for number, kind in enumerate(KINDS):
        images = make_images(kind, num, *shape, channels, seed=number)
        plan = draw(
            policy,
            seed=3,
            stream=kind,
            counters=np.arange(num),
            shape=shape,
        )
        expected = pillow_ops.execute(plan, images, fill)
        np.testing.assert_array_equal(executor(plan, images, fill), expected, kind)


def compare_each(name, channels, executor=run):
    """One op alone, for all shapes; the moving ones in each mode."""
    for mode in MODES if OPS[name].kind == "geometry" else MODES[:1]:
        policy = Policy("one", (widest(name),), count=1, **mode)
        for shape in SHAPES:
            compare(policy, shape, channels, num=4, executor=executor)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(OPS))
def test_each_op_equals_pillow(name, channels):
    compare_each(name, channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["geometry-first", "geometry-last"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sequences_equal_pillow(count, order, channels):
    for number, shape in enumerate(SHAPES):
        policy = everything(count, order, **MODES[number % len(MODES)])
        compare(policy, shape, channels, num=4)


@pytest.mark.parametrize("name", ["Color", "Hue", "Saturation"])
@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_colours_of_grey_images_stay(name, kind):
    images = make_images(kind, 5, 16, 16, 1)
    policy = Policy("colour", (widest(name),), count=1)
    plan = draw(policy, seed=0, stream="s", counters=np.arange(5), shape=(16, 16))
    np.testing.assert_array_equal(run(plan, images, np.array([9], np.uint8)), images)


@pytest.mark.parametrize("name", ["weak", "uda", "fixmatch", "defect-safe"])
def test_presets_equal_pillow(name):
    for shape in [(32, 32), (40, 28)]:
        for channels in (1, 3):
            compare(load_policy(name), shape, channels, num=40)


def test_fill_is_what_geometry_and_cutout_write():
    images = np.full((64, 16, 16, 3), 255, dtype=np.uint8)
    fill = np.array([10, 20, 30], dtype=np.uint8)
    names = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Cutout")
    policy = Policy("moves", tuple(widest(n) for n in names), count=2, cutout=0.5)
    plan = draw(policy, seed=0, stream="s", counters=np.arange(64), shape=(16, 16))
    views = run(plan, images, fill)
    filled = (views == fill).all(axis=-1)
    assert filled.any(axis=(1, 2)).all()
    assert (filled | (views == 255).all(axis=-1)).all()
