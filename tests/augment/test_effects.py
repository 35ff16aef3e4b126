"""Keys that decide nothing are found; the ones that decide something are not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from uda.augment.effects import op_without_effect, without_effect
from uda.augment.kernels import render
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy, load_policy, packaged_policies

INVERT = (OpSpec("Invert"),)
ROTATE = (OpSpec("Rotate", 3, 27),)
SHEAR = (OpSpec("ShearX", 0.2, 0.4),)
SHIFT = (OpSpec("TranslateX", 0.1, 0.2),)
CROP = (OpSpec("ResizedCrop", 0.5, 1),)
CUTOUT = (OpSpec("Cutout", 0.1, 0.2),)


@pytest.mark.parametrize(
    ("policy", "idle"),
    [
        (Policy("p", INVERT, 1), {"order", "fill", "interpolation"}),
        (Policy("p", ROTATE, 1), {"order"}),
        (Policy("p", ROTATE, 1, hflip=0.5), set()),
        (Policy("p", SHIFT, 1), {"order", "interpolation"}),
        (Policy("p", CROP, 1), {"order", "fill", "interpolation"}),
        (Policy("p", CUTOUT, 1), {"order", "interpolation"}),
        (Policy("p", CUTOUT, 1, fill="reflect"), {"order", "fill", "interpolation"}),
        (Policy("p", SHIFT, 1, fill="reflect"), {"order", "interpolation"}),
        (Policy("p", cutout=0.5), {"order", "interpolation", "probability"}),
        (Policy("p", INVERT), {"order", "ops", "fill", "interpolation"}),
        (Policy("p", first=ROTATE), {"order", "probability"}),
        (Policy("p", last=ROTATE), {"order", "probability"}),
        (Policy("p", subpolicies=(ROTATE,)), {"order", "probability", "count"}),
        (
            Policy("p", (OpSpec("Rotate", 1, 2, probability=0.5),), 1),
            {"probability", "order"},
        ),
    ],
)  # fmt: skip
def test_idle_keys_are_found_with_a_reason(policy, idle):
    found = without_effect(policy)
    assert set(found) == idle
    assert all(found.values())


def test_changing_an_idle_probability_changes_no_plan():
    for policy in (
        Policy("p", first=ROTATE, last=CUTOUT),
        Policy("p", subpolicies=(ROTATE, INVERT)),
        Policy("p", (OpSpec("Rotate", 1, 2, probability=0.5),), 2),
    ):
        other = dataclasses.replace(policy, probability=0.1)
        where = {"seed": 1, "stream": "s", "counters": np.arange(99), "shape": (9, 9)}
        assert "probability" in without_effect(policy)
        one, two = draw(policy, **where), draw(other, **where)
        np.testing.assert_array_equal(one.op, two.op)
        np.testing.assert_array_equal(one.value, two.value)


@pytest.mark.parametrize(
    "values",
    [
        {"ops": INVERT, "count": 1},
        {"ops": ROTATE, "count": 2, "cutout": 0.5},
        {"hflip": 0.5, "vflip": 0.5, "crop_pad": 0.25, "quarter_turns": True},
        {"hflip": 0.5, "first": (OpSpec("Identity"),)},
    ],
)
def test_an_idle_order_changes_no_view(values):
    views = _views_of_both_orders(values)
    assert "order" in without_effect(Policy("p", **values))
    np.testing.assert_array_equal(*views)


@pytest.mark.parametrize("key", ["hflip", "vflip", "crop_pad", "quarter_turns"])
@pytest.mark.parametrize("ops", [{"first": SHEAR}, {"cutout": 0.5}, {"last": CUTOUT}])
def test_an_order_that_changes_views_has_an_effect(key, ops):
    values = {key: {"crop_pad": 0.25, "quarter_turns": True}.get(key, 1.0), **ops}
    first, last = _views_of_both_orders(values)
    assert "order" not in without_effect(Policy("p", **values))
    assert (first != last).any()


def _views_of_both_orders(values):
    noise = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 1), dtype=np.uint8)
    return [
        render(
            Policy("p", **values, order=order), noise, seed=1, stream="s",
            counters=np.arange(16), fill=[9],
        )
        for order in ("geometry-first", "geometry-last")
    ]  # fmt: skip


def test_ops_that_move_know_the_fill():
    for op in OPS.values():
        spec = OpSpec(op.name, op.low, op.high) if op.has_magnitude else INVERT[0]
        asks = (op.kind in ("geometry", "erase")) and op.name != "ResizedCrop"
        assert ("fill" not in without_effect(Policy("p", (spec,), 1))) == asks, op.name


@pytest.mark.parametrize(
    ("spec", "idle"),
    [
        (OpSpec("Rotate", 3, 27, 9), None),
        (OpSpec("Rotate", 3, 3), None),
        (OpSpec("Rotate", 3, 3, 9), "levels"),
        (OpSpec("Rotate", 3, 27, 1), "levels"),
        (OpSpec("Color", 1, 1, mirrored=True), "mirrored"),
        (OpSpec("Color", 1, 1.5, mirrored=True), None),
    ],
)
def test_idle_keys_of_an_op(spec, idle):
    assert set(op_without_effect(spec)) == ({idle} if idle else set())


def test_presets_have_no_idle_ops():
    for name, path in packaged_policies().items():
        if path.suffix == ".yaml":
            for spec in load_policy(name).every_op():
                assert not op_without_effect(spec), name
