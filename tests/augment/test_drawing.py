"""The table of ops against one image and one op at a time, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda import rng
from uda.augment.drawing import draw_ops, level_values
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy

PIXELS = {"TranslateX": 1, "TranslateY": 0}
WHOLE = {"Posterize", "Solarize", "SolarizeAdd", "Jpeg"}


def in_plan_units(name, magnitude, shape):
    if name in PIXELS:
        return float(math.floor(magnitude * shape[PIXELS[name]] + 1e-6))
    if name == "Cutout":
        return float(math.floor(magnitude * min(shape) + 1e-6))
    return float(round(magnitude)) if name in WHOLE else magnitude


def literal_op(spec, numbers, probability, shape):
    """(op id, value) of one slot from its six uniform numbers."""
    _, apply, level, sign, _, _ = numbers
    if spec.probability is not None:
        probability = spec.probability
    if not apply < probability:
        return -1, 0.0
    op = OPS[spec.name]
    if not op.has_magnitude:
        return op.id, 0.0
    if spec.levels is None:
        magnitude = spec.low + level * (spec.high - spec.low)
    else:
        spaced = np.linspace(spec.low, spec.high, spec.levels)
        magnitude = float(spaced[int(level * spec.levels)])
    value = in_plan_units(spec.name, magnitude, shape)
    if sign < 0.5 and op.signed:
        value = -value
    if sign < 0.5 and spec.mirrored:
        value = 2 - value
    return op.id, value


def literal(policy, u, shape):
    """(op, value) of one image from its (slots, 6) uniform numbers."""
    drawn = max(map(len, policy.subpolicies), default=policy.count)
    middle = u[len(policy.first) : len(policy.first) + drawn]
    out = [literal_op(s, n, 1, shape) for s, n in zip(policy.first, u, strict=False)]
    if policy.subpolicies:
        chosen = policy.subpolicies[int(middle[0][0] * len(policy.subpolicies))]
        out += [
            literal_op(s, n, 1, shape) for s, n in zip(chosen, middle, strict=False)
        ]
        out += [(-1, 0.0)] * (drawn - len(chosen))
    else:
        for numbers in middle:
            spec = policy.ops[int(numbers[0] * len(policy.ops))]
            out.append(literal_op(spec, numbers, policy.probability, shape))
    rest = u[len(policy.first) + drawn :]
    return out + [
        literal_op(s, n, 1, shape) for s, n in zip(policy.last, rest, strict=True)
    ]


@st.composite
def specs(draw):
    op = OPS[draw(st.sampled_from(sorted(OPS)))]
    probability = draw(st.none() | st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    if not op.has_magnitude:
        return OpSpec(op.name, probability=probability)
    mirrored = op.unit.startswith("factor") and draw(st.booleans())
    low, high = op.low, op.high
    if mirrored:
        low, high = max(low, 2 - high), min(high, 2 - low)
    side = st.floats(low, high)
    levels = draw(st.none() | st.integers(1, 40))
    return OpSpec(
        op.name, draw(side), draw(side), levels, probability, mirrored=mirrored
    )


@st.composite
def policies(draw):
    some = st.lists(specs(), max_size=3).map(tuple)
    kind = draw(st.sampled_from(["ops", "subpolicies", "neither"]))
    changes = {"first": draw(some), "last": draw(some)}
    if kind == "ops":
        changes["ops"] = draw(st.lists(specs(), min_size=1, max_size=20).map(tuple))
        changes["count"] = draw(st.integers(1, 4))
        changes["probability"] = draw(st.sampled_from([0.0, 0.4, 1.0]))
    if kind == "subpolicies":
        one = st.lists(specs(), min_size=1, max_size=4).map(tuple)
        changes["subpolicies"] = draw(st.lists(one, min_size=1, max_size=6).map(tuple))
    return Policy("any", **changes)


@settings(max_examples=120, deadline=None)
@given(
    policy=policies(),
    seed=st.integers(0, 2**32),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
)
def test_drawing_is_the_literal_rule(policy, seed, height, width):
    shape = (height, width)
    u = rng.uniforms(seed, "s", np.arange(30), 6 * policy.slots)
    u = u.reshape(30, policy.slots, 6)
    op, value = draw_ops(policy, u, shape)
    assert op.dtype == np.int8
    assert op.shape == value.shape == (30, policy.slots)
    for row in range(30):
        expected = literal(policy, u[row].tolist(), shape)
        assert op[row].tolist() == [op_id for op_id, _ in expected]
        assert value[row].tolist() == [v for _, v in expected]


def drawn(policy, num=20_000, shape=(64, 64), seed=0):
    return draw(policy, seed=seed, stream="s", counters=np.arange(num), shape=shape)


def chi_square(counts):
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_subpolicies_are_drawn_uniformly_and_kept_together():
    names = ["Invert", "Equalize", "AutoContrast", "Identity"]
    pairs = tuple((OpSpec(a), OpSpec(b)) for a in names for b in names)
    plan = drawn(Policy("pairs", subpolicies=pairs), 32_000)
    ids = [OPS[name].id for name in names]
    found = plan.op.astype(int) @ [100, 1]
    counts = np.array([(found == 100 * a + b).sum() for a in ids for b in ids])
    assert counts.sum() == len(plan)  # no pair that is not listed
    assert chi_square(counts) < 37.7  # 99.9 %, 15 degrees of freedom
    # All ops of a list come from the one number; the others are left to them.
    three = (OpSpec("Invert"), OpSpec("Equalize"), OpSpec("AutoContrast"))
    plan = drawn(Policy("uneven", subpolicies=(three, (OpSpec("Identity"),))), 4_000)
    assert {tuple(row) for row in plan.op} == {(3, 2, 1), (0, -1, -1)}


@pytest.mark.parametrize("place", ["ops", "first", "last", "subpolicies"])
def test_an_op_is_applied_at_its_own_rate(place):
    rates = [0.0, 0.1, 0.5, 0.9, 1.0]
    names = ["Invert", "Equalize", "AutoContrast", "Identity", "Posterize"]
    ops = tuple(
        OpSpec(n, 4, 4, None, p) if n == "Posterize" else OpSpec(n, probability=p)
        for n, p in zip(names, rates, strict=True)
    )
    num = 20_000
    changes = {
        "ops": {"ops": ops, "count": 1, "probability": 0.3},
        "subpolicies": {"subpolicies": (ops,)},
        "first": {"first": ops},
        "last": {"last": ops},
    }[place]
    plan = drawn(Policy("rates", **changes), num)
    trials = num / len(ops) if place == "ops" else num
    for name, rate in zip(names, rates, strict=True):
        count = (plan.op == OPS[name].id).sum()
        spread = math.sqrt(trials * rate * (1 - rate / (num / trials)))
        assert abs(count - trials * rate) <= 4 * spread


def test_ops_without_a_rate_take_the_policys_only_where_they_are_drawn():
    policy = Policy(
        "rates",
        first=(OpSpec("Invert"),),
        ops=(OpSpec("Equalize"),),
        count=1,
        last=(OpSpec("AutoContrast"),),
        probability=0.25,
    )
    plan = drawn(policy)
    assert (plan.op[:, 0] == OPS["Invert"].id).all()
    assert abs((plan.op[:, 1] == OPS["Equalize"].id).mean() - 0.25) < 0.02
    assert (plan.op[:, 2] == OPS["AutoContrast"].id).all()


def test_fixed_ops_come_in_their_order_around_the_drawn_ones():
    policy = Policy(
        "order",
        first=(OpSpec("Invert"), OpSpec("Equalize")),
        ops=(OpSpec("Identity"),),
        count=2,
        last=(OpSpec("AutoContrast"), OpSpec("Invert")),
    )
    assert policy.slots == 6
    assert drawn(policy, 50).op.tolist() == [[3, 2, 0, 0, 1, 3]] * 50


def test_mirrored_factors_go_both_ways_alike():
    spec = OpSpec("Contrast", 1.1, 1.5, 5, mirrored=True)
    values = drawn(Policy("m", (spec,), 1)).value[:, 0]
    found, counts = np.unique(np.round(values, 9), return_counts=True)
    np.testing.assert_allclose(
        found, [0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5]
    )
    assert chi_square(counts) < 27.9  # 99.9 %, 9 degrees of freedom


def test_mirroring_leaves_the_other_draws_as_they_were():
    plain = Policy("p", (OpSpec("Contrast", 1.1, 1.5), OpSpec("Invert")), 2)
    other = Policy(
        "m", (OpSpec("Contrast", 1.1, 1.5, mirrored=True), OpSpec("Invert")), 2
    )
    one, two = drawn(plain, 500), drawn(other, 500)
    np.testing.assert_array_equal(one.op, two.op)
    same = (one.value == two.value) | np.isclose(one.value, 2 - two.value)
    assert same.all()


def test_levels_of_a_crop_are_equal_steps_of_area():
    values = level_values(OpSpec("ResizedCrop", 0.25, 1, 4), (8, 8))
    np.testing.assert_allclose(values, [0.25, 0.5, 0.75, 1])
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1
