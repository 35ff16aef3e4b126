"""What is drawn: ranges, frequencies, independence of the batch split."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.helpers import everything
from uda import rng
from uda.augment.ops import OPS
from uda.augment.plan import Plan, draw
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.errors import DataError

ARRAYS = (
    "op", "value", "box", "place", "hflip", "vflip", "turns", "dy", "dx", "cut",
)  # fmt: skip


def drawn(policy, num, shape=(32, 32), *, start=0, seed=0, stream="strong"):
    counters = np.arange(start, start + num)
    return draw(policy, seed=seed, stream=stream, counters=counters, shape=shape)


def values_of(plan, name):
    return plan.value[plan.op == OPS[name].id]


def levels_of(plan, name):
    return sorted(set(np.round(np.abs(values_of(plan, name)), 10)))


def same(one, two):
    return all(np.array_equal(getattr(one, n), getattr(two, n)) for n in ARRAYS)


L = np.arange(1, 10)
ENHANCE = np.round(0.1 + 0.18 * L, 10)
WEAKER = np.round(0.05 + 0.09 * L, 10)
UDA_LEVELS = {
    # The published formulas for level l = 1..9, written out.
    "Cutout": 2 * L, "Sharpness": ENHANCE, "Color": ENHANCE, "Contrast": ENHANCE,
    "Brightness": ENHANCE, "ShearX": np.round(0.03 * L, 10),
    "ShearY": np.round(0.03 * L, 10), "TranslateX": L, "TranslateY": L,
    "Rotate": 3 * L, "Posterize": [4 - int(0.4 * x) for x in L],
    "Solarize": [256 - int(25.6 * x) for x in L],
}  # fmt: skip
FIXMATCH_LEVELS = {
    "Sharpness": WEAKER, "Color": WEAKER, "Contrast": WEAKER, "Brightness": WEAKER,
    "ShearX": np.round(0.03 * L, 10), "ShearY": np.round(0.03 * L, 10),
    "TranslateX": [int(0.03 * x * 32) for x in L],
    "TranslateY": [int(0.03 * x * 32) for x in L],
    "Rotate": 3 * L, "Posterize": [4 + int(0.4 * x) for x in L],
    "Solarize": [256 - int(25.6 * x) for x in L],
}  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "published"), [("uda", UDA_LEVELS), ("fixmatch", FIXMATCH_LEVELS)]
)
def test_levels_are_the_published_ones(preset, published):
    plan = drawn(load_policy(preset), 20_000)
    for name, levels in published.items():
        assert levels_of(plan, name) == sorted(set(levels)), name


def test_posterize_levels_have_the_published_frequencies():
    bits = values_of(drawn(load_policy("uda"), 60_000), "Posterize")
    shares = [np.mean(bits == b) for b in (4, 3, 2, 1)]
    np.testing.assert_allclose(shares, [2 / 9, 2 / 9, 3 / 9, 2 / 9], atol=0.03)


def test_defect_safe_stays_mild():
    plan = drawn(load_policy("defect-safe"), 20_000, (64, 64))
    assert np.abs(values_of(plan, "Rotate")).max() <= 10
    assert np.abs(values_of(plan, "TranslateX")).max() <= 3
    assert np.abs(values_of(plan, "ShearY")).max() <= 0.1
    brightness = values_of(plan, "Brightness")
    assert 0.8 <= brightness.min() < brightness.max() <= 1.2
    assert not plan.cut.any()


def chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


ONE_LIST = ["uda", "fixmatch", "defect-safe", "torchvision", "trivialaugment"]


@pytest.mark.parametrize("preset", ONE_LIST)
def test_ops_are_uniform_and_applied_at_their_rate(preset):
    policy = load_policy(preset)
    num = 30_000
    plan = drawn(policy, num)
    for slot in range(policy.count):
        ids = [OPS[spec.name].id for spec in policy.ops]
        counts = np.array([(plan.op[:, slot] == i).sum() for i in ids])
        applied = counts.sum()
        spread = np.sqrt(num * policy.probability * (1 - policy.probability))
        assert abs(applied - num * policy.probability) <= 4 * spread
        # The 99.9 % quantile of chi-square with 14 degrees of freedom is 36.1.
        assert chi_square(counts, np.full(len(ids), applied / len(ids))) < 36.1


def test_two_slots_are_independent():
    policy = load_policy("uda")
    plan = drawn(policy, 60_000)
    table = np.zeros((len(OPS) + 1, len(OPS) + 1))
    np.add.at(table, (plan.op[:, 0] + 1, plan.op[:, 1] + 1), 1)
    table = table[np.ix_(table.any(axis=1), table.any(axis=0))]
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    # 225 degrees of freedom: mean 225, standard deviation 21.2.
    assert chi_square(table, expected) < 225 + 4 * 21.2


def test_signs_levels_flips_and_shifts_are_fair():
    plan = drawn(load_policy("uda"), 30_000)
    angles = values_of(plan, "Rotate")
    assert abs(np.mean(angles > 0) - 0.5) < 0.05
    counts = np.array([(np.abs(angles) == 3 * level).sum() for level in L])
    assert chi_square(counts, np.full(9, len(angles) / 9)) < 26.1  # 99.9 %, 8
    assert abs(plan.hflip.mean() - 0.5) < 0.02
    assert not plan.vflip.any()
    for shift in (plan.dy, plan.dx):
        counts = np.array([(shift == s).sum() for s in range(-4, 5)])
        assert counts.sum() == len(plan)
        assert chi_square(counts, np.full(9, len(plan) / 9)) < 26.1


def test_cutout_is_16_of_32_half_open_and_clipped():
    cut = drawn(load_policy("uda"), 5_000).cut
    y0, x0, y1, x1 = cut.T
    assert cut.min() == 0
    assert cut.max() == 32
    for low, high in ((y0, y1), (x0, x1)):
        centre = np.where(low > 0, low + 8, high - 8)
        assert set(centre) == set(range(32))
        np.testing.assert_array_equal(low, np.maximum(centre - 8, 0))
        np.testing.assert_array_equal(high, np.minimum(centre + 8, 32))


def test_cutout_of_other_shapes_takes_the_shorter_side():
    cut = drawn(Policy("cut", cutout=0.5), 3_000, (40, 24)).cut
    assert (cut[:, 2] - cut[:, 0]).max() == 12
    assert (cut[:, 3] - cut[:, 1]).max() == 12
    assert cut[:, 2].max() == 40


def test_quarter_turns_keep_the_shape():
    policy = Policy("turns", quarter_turns=True)
    assert set(drawn(policy, 500, (8, 8)).turns) == {0, 1, 2, 3}
    assert set(drawn(policy, 500, (8, 9)).turns) == {0, 2}


def test_whole_lengths_lose_no_pixel():
    policy = Policy("t", (OpSpec("TranslateX", 0.1, 0.9, 9),), count=1)
    for side in (10, 20, 70, 100, 640):
        plan = drawn(policy, 400, (1, side))
        assert set(np.abs(plan.value[:, 0])) == {side * k // 10 for k in L}


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 3),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    seed=st.integers(0, 2**40),
    start=st.integers(0, 2**50),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_rows_do_not_depend_on_the_batch(count, cuts, seed, start, height, width):
    policy = everything(count)
    where = {"seed": seed, "stream": "s", "shape": (height, width)}
    counters = np.arange(start, start + 40)
    whole = draw(policy, counters=counters, **where)
    edges = sorted({0, 40, *cuts})
    for i, j in itertools.pairwise(edges):
        assert same(draw(policy, counters=counters[i:j], **where), whole[i:j])
    order = np.random.default_rng(seed).permutation(40)
    assert same(draw(policy, counters=counters[order], **where), whole[order])
    assert ((whole.dy < height) & (whole.dy > -height)).all()
    assert (whole.box[..., 2:] <= (height, width)).all()
    assert (whole.cut[..., :2] >= 0).all()


def test_seed_and_stream_change_the_draw():
    policy = load_policy("uda")
    assert not same(drawn(policy, 50), drawn(policy, 50, seed=1))
    assert not same(drawn(policy, 50), drawn(policy, 50, stream="weak"))


def test_more_ops_leave_the_weak_part_as_it_was():
    one, three = drawn(everything(1), 50), drawn(everything(3), 50)
    for name in ("hflip", "vflip", "turns", "dy", "dx", "cut"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


# Rows 0..3 of the preset uda, as drawn before policies had fixed ops and places.
FIRST_OPS = [[-1, -1], [-1, -1], [3, 12], [4, -1]]
FIRST_VALUES = [[0, 0], [0, 0], [0, 3], [1, 0]]
FIRST_CUTS = [[12, 0, 28, 8], [18, 9, 32, 25], [0, 4, 10, 20], [20, 0, 32, 14]]


def test_the_layout_of_the_random_numbers_stays():
    plan = drawn(load_policy("uda"), 4, seed=7)
    assert plan.op.tolist() == FIRST_OPS
    assert plan.value.tolist() == FIRST_VALUES
    assert plan.cut.tolist() == FIRST_CUTS
    assert plan.hflip.tolist() == [1, 0, 0, 1]
    assert plan.dy.tolist() == [-2, 0, 4, -1]
    assert plan.dx.tolist() == [-4, -1, 2, 4]


def test_places_are_the_numbers_that_boxes_come_from():
    policy = Policy("p", (OpSpec("Cutout", 0.25, 0.25),), 2, last=(OpSpec("Invert"),))
    plan = drawn(policy, 2_000, (40, 24))
    assert plan.slots == 3
    assert plan.place.shape == (2_000, 3, 2)
    assert plan.place.flags.c_contiguous
    u = rng.uniforms(0, "strong", np.arange(2_000), 7 + 3 * 6)
    expected = u[:, 7:].reshape(2_000, 3, 6)[..., 4:6]
    np.testing.assert_array_equal(plan.place, expected)
    centre = np.floor(plan.place[:, :2] * (40, 24))
    np.testing.assert_array_equal(plan.box[:, :2, :2], np.maximum(centre - 3, 0))
    np.testing.assert_array_equal(plan.box[:, :2, 2:], np.minimum(centre + 3, (40, 24)))
    assert not plan.box[:, 2].any()
    for axis in range(2):
        counts = np.histogram(plan.place[..., axis], 10, (0, 1))[0]
        assert chi_square(counts, np.full(10, 600)) < 27.9  # 99.9 %, 9


def test_flags_follow_the_policy_and_its_slices():
    turned = (OpSpec("Rotate", 1, 2),)
    plain = drawn(Policy("p", turned, 1), 4)
    assert (plain.bilinear, plain.reflect, plain.geometry_last) == (False,) * 3
    policy = Policy(
        "p", turned, 1, fill="reflect", interpolation="bilinear", order="geometry-last"
    )
    part = drawn(policy, 4)[1:3]
    assert (part.bilinear, part.reflect, part.geometry_last) == (True,) * 3
    assert (len(part), part.slots, part.shape) == (2, 1, (32, 32))
    np.testing.assert_array_equal(part.value, plain[1:3].value)


def test_saved_plans_come_back(tmp_path):
    plan = drawn(everything(2, fill="reflect"), 20, (8, 9))
    plan.save(tmp_path / "plan.npz")
    back = Plan.load(tmp_path / "plan.npz")
    assert same(plan, back)
    assert (back.shape, back.geometry_last) == ((8, 9), True)
    assert (back.bilinear, back.reflect) == (False, True)
    assert back.op.dtype == np.int8
    assert len(back) == 20


def test_a_broken_plan_file_is_named(tmp_path):
    path = tmp_path / "plan.npz"
    drawn(everything(2), 3, (8, 9)).save(path)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    array = (tmp_path / "array.npy").read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"\x93NUMPY") + 130] ^= 0xFF  # one of the ops
    for content in (b"nothing", b"", whole[:900], whole[:-30], array, bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"plan\.npz: is not a saved plan"):
            Plan.load(path)


def test_a_plan_file_that_leaves_its_image_is_refused(tmp_path):
    path = tmp_path / "plan.npz"
    plan = drawn(everything(2), 20, (8, 9))
    plan.cut[3] = (0, 0, 9, 4)
    plan.save(path)
    with pytest.raises(DataError, match=r"plan\.npz: is not .*a box of cut does not"):
        Plan.load(path)
    dataclasses.replace(plan, shape=(9000, 9)).save(path)
    with pytest.raises(DataError, match=r"plan\.npz: is not .*sides must be 1"):
        Plan.load(path)


@pytest.mark.parametrize("shape", [(0, 5), (5, 9000)])
def test_impossible_sides_are_refused(shape):
    with pytest.raises(DataError, match=r"sides must be 1\.\.8192"):
        drawn(Policy("p"), 1, shape)
