"""Fields of a plan that no draw gives are refused, drawn ones never."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from tests.augment.helpers import everything, widest
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.plancheck import check_content
from uda.augment.policy import Policy, load_policy, packaged_policies


def content_of(policy, shape, num=200):
    plan = draw(policy, seed=1, stream="s", counters=np.arange(num), shape=shape)
    names = [field.name for field in dataclasses.fields(plan)]
    return {name: np.array(getattr(plan, name)) for name in names}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (20, 20), (33, 12), (500, 300)])
def test_drawn_plans_pass(shape):
    check_content(content_of(everything(3), shape))
    check_content(content_of(Policy("none"), shape))
    check_content(content_of(everything(2), shape, num=0))
    for name, path in packaged_policies().items():
        if path.suffix == ".yaml":
            check_content(content_of(load_policy(name), shape))


FAULTS = [
    ("op", (), 29, "an op has a number that this version"),
    ("op", (), -2, "an op has a number that this version"),
    ("value", (), np.nan, "a value is not finite"),
    ("value", (), np.inf, "a value is not finite"),
    ("place", (1,), 1.0, r"a place lies outside 0\.\.1"),
    ("place", (0,), -1e-9, r"a place lies outside 0\.\.1"),
    ("place", (0,), np.nan, r"a place lies outside 0\.\.1"),
    ("box", (0,), -1, "a box of box does not lie inside of 20x30"),
    ("box", (2,), 21, "a box of box does not lie inside of 20x30"),
    ("box", (3,), 31, "a box of box does not lie inside of 20x30"),
    ("cut", (0,), 25, "a box of cut does not lie inside of 20x30"),
    ("cut", (1,), -5, "a box of cut does not lie inside of 20x30"),
    ("hflip", (), 2, "hflip is neither 0 nor 1"),
    ("vflip", (), 255, "vflip is neither 0 nor 1"),
    ("turns", (), 1, r"turns is none of \[0, 2\], for images of 20x30"),
    ("turns", (), 4, "turns is none of"),
    ("turns", (), -2, "turns is none of"),
    ("dy", (), 20, "dy reaches 20 px"),
    ("dy", (), -20, "dy reaches 20 px"),
    ("dx", (), 30, "dx reaches 30 px"),
    ("dx", (), -(2**31), "dx reaches 30 px"),
]


@pytest.mark.parametrize(("name", "last", "value", "message"), FAULTS)
def test_a_value_out_of_range_is_named(name, last, value, message):
    content = content_of(everything(2), (20, 30))
    array = content[name]
    array[(*(0,) * (array.ndim - len(last)), *last)] = value
    with pytest.raises(ValueError, match=message):
        check_content(content)


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.has_magnitude])
def test_each_op_has_its_limits(name):
    policy = Policy("one", (widest(name),), count=1)
    values = content_of(policy, (20, 30))["value"]
    sides = {"TranslateX": 30, "TranslateY": 20, "Cutout": 20}
    top = OPS[name].high * sides.get(name, 1)
    assert np.abs(values).max() <= top
    for value in (top + 1, -top - 1, OPS[name].low - 1 if OPS[name].low else -0.5):
        if OPS[name].signed and abs(value) <= top:
            continue
        content = content_of(policy, (20, 30))
        content["value"][5, 0] = value
        with pytest.raises(ValueError, match=f"a value of {name} lies outside"):
            check_content(content)


def test_lengths_and_levels_are_whole():
    for name in ("Posterize", "TranslateX", "Cutout", "Jpeg"):
        content = content_of(Policy("one", (widest(name),), count=1), (20, 30))
        content["value"][5, 0] = 2.5
        with pytest.raises(ValueError, match=f"a value of {name} is not whole"):
            check_content(content)


def test_types_and_shapes_are_those_of_a_plan():
    whole = content_of(everything(2), (20, 30))
    fields = set(whole) - {"shape"}
    for name, change in itertools.product(fields, ("type", "order", "shape")):
        array = whole[name]
        if change == "type":
            other = array.astype(np.float32)
        elif change == "order" and array.dtype.itemsize > 1:
            other = array.astype(array.dtype.newbyteorder())
        else:
            other = array[..., None]
        with pytest.raises(ValueError, match=f"{name} (is|has) "):
            check_content(whole | {name: other})
    with pytest.raises(ValueError, match="hflip is uint8 of shape"):
        check_content(whole | {"hflip": whole["hflip"][:-1]})
    for shape in ([20.0, 30.0], [20], 20, ["20", "30"]):
        with pytest.raises(ValueError, match="shape is not two whole numbers"):
            check_content(whole | {"shape": np.array(shape)})
