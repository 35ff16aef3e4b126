"""Captions say what a plan holds, in units a person knows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.augment.helpers import everything, widest
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy
from uda.reporting.captions import describe, magnitude


@pytest.mark.parametrize(
    ("name", "value", "in_plan", "text"),
    [
        ("Rotate", -7.5, False, "-7.5°"),
        ("Rotate", 7.5, True, "+7.5°"),
        ("Rotate", -0.0, True, "0°"),
        ("TranslateY", -0.0, True, "0 px"),
        ("Brightness", 0.8444, True, "× 0.84"),
        ("TranslateX", 0.06, False, "+6 %"),
        ("TranslateX", 3.0, True, "+3 px"),
        ("Cutout", 0.5, False, "50 %"),
        ("Cutout", 16, True, "16 px"),
        ("Posterize", 4, True, "4 bits"),
        ("Solarize", 231, False, "from 231"),
        ("ResizedCrop", 0.25, False, "25% seen"),
        ("ResizedCrop", 0.25, True, "25% seen"),
        ("ShearY", -0.05, True, "-0.05"),
        ("Equalize", 0, True, ""),
    ],
)
def test_magnitudes_have_units(name, value, in_plan, text):
    assert magnitude(name, value, in_plan=in_plan) == text


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("in_plan", [False, True])
def test_every_op_has_words(name, in_plan):
    for value in (OPS[name].low, OPS[name].high):
        text = magnitude(name, value, in_plan=in_plan)
        assert bool(text) == OPS[name].has_magnitude
        assert len(text) <= 14


def plan_of(policy, num=200):
    return draw(
        policy, seed=0, stream="strong", counters=np.arange(num), shape=(40, 30)
    )


def test_an_unchanged_view_says_so():
    assert describe(plan_of(Policy("none")), 0) == ["unchanged"]


def test_ops_come_in_their_order_and_geometry_where_it_happens():
    policy = everything(3, hflip=1, vflip=1, cutout=0.5, crop_pad=0.0)
    policy = dataclasses.replace(policy, quarter_turns=False)
    first = dataclasses.replace(policy, order="geometry-first")
    for row in range(50):
        last_lines = describe(plan_of(policy), row)
        assert last_lines[-1] == "flip ↔↕"
        assert last_lines[-2].startswith("erased ")
        turned = [last_lines[-1], *last_lines[:-1]]
        assert describe(plan_of(first), row) == turned


def test_the_words_are_the_plans_numbers():
    plan = plan_of(Policy("one", ops=(widest("Rotate"),), count=1))
    for row in range(20):
        (line,) = describe(plan, row)
        name, value = line.split()
        assert name == "Rotate"
        assert float(value.rstrip("°")) == pytest.approx(plan.value[row, 0], rel=1e-2)


def test_arrows_point_where_the_picture_goes():
    """The crop window moved right shows the picture moved left."""
    from uda.augment.kernels import apply

    policy = Policy("shift", crop_pad=0.3)
    plan = plan_of(policy)
    images = np.zeros((len(plan), 40, 30, 1), dtype=np.uint8)
    images[:, 20, 15] = 255
    views = apply(plan, images, fill=[0])
    seen = set()
    for row in range(len(plan)):
        y, x, _ = np.argwhere(views[row] == 255)[0]
        line = " ".join(describe(plan, row))
        moves = {"←": 15 - x, "→": x - 15, "↑": 20 - y, "↓": y - 20}
        for arrow, distance in moves.items():
            assert (f"{arrow}{distance}" in line) == (distance > 0)
            seen |= {arrow} if distance > 0 else set()
    assert seen == set("←→↑↓")


def test_identity_is_not_told():
    plan = plan_of(Policy("same", ops=(OpSpec("Identity"),), count=2))
    assert describe(plan, 0) == ["unchanged"]


@pytest.mark.parametrize(
    ("name", "magnitude", "lines"),
    [
        ("TranslateY", 0.001, ["unchanged"]),
        ("Sharpness", 1.0, ["unchanged"]),
        ("Sharpness", 1.001, ["Sharpness ≈ unchanged"]),
        ("Rotate", 0.0, ["unchanged"]),
    ],
)
def test_what_does_nothing_is_not_told_as_if_it_did(name, magnitude, lines):
    policy = Policy("one", ops=(OpSpec(name, magnitude, magnitude),), count=1)
    plan = plan_of(policy)
    assert all(describe(plan, row) == lines for row in range(9))
