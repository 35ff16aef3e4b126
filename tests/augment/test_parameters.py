"""Constants and tables that the compiled executor gets with a plan."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tests.augment.helpers import everything
from uda.augment import tables
from uda.augment.ops import OPS
from uda.augment.parameters import parameters
from uda.augment.plan import draw
from uda.augment.policy import Policy


def plan_of(*ops):
    """A plan of one view: (name, value) of each slot."""
    plan = draw(everything(len(ops)), seed=0, stream="s", counters=[0], shape=(8, 8))
    return dataclasses.replace(
        plan,
        op=np.array([[OPS[name].id for name, _ in ops]], dtype=np.int8),
        value=np.array([[value for _, value in ops]], dtype=float),
        place=np.full((1, len(ops), 2), 0.125),
    )


def test_each_op_finds_its_constants():
    plan = plan_of(("Rotate", 30.0), ("Blur", 1.5), ("Illumination", 0.3), ("Hue", 9.0))
    constants, curves = parameters(plan, 3)
    cosine, sine = math.cos(-math.pi / 6), math.sin(-math.pi / 6)
    np.testing.assert_allclose(constants[0, 0], [cosine, sine, 0], atol=1e-12)
    assert tuple(constants[0, 1]) == tables.blur_box(1.5)
    np.testing.assert_allclose(constants[0, 2], [0.5**0.5, 0.5**0.5, 0])
    assert not constants[0, 3].any()
    assert curves.shape == (1, 256)


def test_curves_are_numbered():
    plan = plan_of(
        ("Gamma", 2.0), ("LogitContrast", 3.0), ("Value", 0.5), ("Gamma", 0.5)
    )
    for channels, count in ((1, 4), (3, 3)):
        constants, curves = parameters(plan, channels)
        numbers = constants[0, :, 0].astype(int)
        assert len(curves) == 1 + count
        np.testing.assert_array_equal(curves[numbers[0]], tables.gamma_table(2.0))
        np.testing.assert_array_equal(curves[numbers[3]], tables.gamma_table(0.5))
        contrast = tables.logit_table(factor=3.0)
        np.testing.assert_array_equal(curves[numbers[1]], contrast)
        assert (numbers[2] != 0) == (channels == 1)


def test_nothing_is_needed_without_ops():
    plan = draw(Policy("p"), seed=0, stream="s", counters=[0, 1], shape=(8, 8))
    constants, curves = parameters(plan, 1)
    assert constants.shape == (2, 0, 3)
    assert curves.shape == (1, 256)
