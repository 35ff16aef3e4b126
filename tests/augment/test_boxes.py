from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uda.augment import kernels
from uda.augment.boxes import BoxRules, transform_boxes
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy
from uda.errors import DataError, UsageError

MOVES = tuple(
    OpSpec(name, low, high)
    for name, low, high in (
        ("ShearX", 0, 0.6), ("ShearY", 0, 0.6), ("TranslateX", 0, 0.4),
        ("TranslateY", 0, 0.4), ("Rotate", 0, 180), ("ResizedCrop", 0.1, 1),
    )
)  # fmt: skip
STILL = Policy("still")


def plan_of(*ops, shape=(40, 60), policy=STILL, **weak):
    """A plan of one row with exactly these (name, value[, place or box]) ops."""
    specs = tuple(OpSpec("Identity") for _ in ops)
    policy = dataclasses.replace(policy, ops=specs[:1], count=len(ops))
    plan = draw(policy, seed=0, stream="t", counters=[0], shape=shape)
    for slot, (name, value, *more) in enumerate(ops):
        plan.op[0, slot] = OPS[name].id
        plan.value[0, slot] = value
        if name == "Cutout":
            plan.box[0, slot] = more[0]
        elif more:
            plan.place[0, slot] = more[0]
    for name, value in weak.items():
        getattr(plan, name)[0] = value
    return plan


def moved(boxes, *ops, rules=None, shape=(40, 60), **weak):
    plan = plan_of(*ops, shape=shape, **weak)
    return transform_boxes(plan, 0, boxes, rules=rules)


BOX = [[10.0, 5.0, 25.0, 20.0]]


@pytest.mark.parametrize(
    ("weak", "expected"),
    [
        ({}, [10, 5, 25, 20]),
        ({"hflip": 1}, [35, 5, 50, 20]),
        ({"vflip": 1}, [10, 20, 25, 35]),
        ({"turns": 2}, [35, 20, 50, 35]),
        ({"dx": 4, "dy": -3}, [6, 8, 21, 23]),
        ({"dx": 15}, [0, 5, 10, 20]),
    ],
)
def test_turns_flips_and_crops_by_hand(weak, expected):
    assert moved(BOX, **weak).boxes.tolist() == [expected]


def test_a_quarter_turn_is_counter_clockwise():
    result = moved([[30, 2, 40, 6]], shape=(40, 40), turns=1)
    assert result.boxes.tolist() == [[2, 0, 6, 10]]
    result = moved([[30, 2, 40, 6]], shape=(40, 40), turns=3)
    assert result.boxes.tolist() == [[34, 30, 38, 40]]


def test_geometric_ops_by_hand():
    # Pillow's map goes from the view to the source: TranslateX +5 moves left.
    assert moved(BOX, ("TranslateX", 5)).boxes.tolist() == [[5, 5, 20, 20]]
    assert moved(BOX, ("TranslateY", -5)).boxes.tolist() == [[10, 10, 25, 25]]
    sheared = moved(BOX, ("ShearX", 0.5)).boxes[0]
    assert sheared == pytest.approx([0, 5, 22.5, 20])
    turned = moved([[20, 10, 40, 30]], ("Rotate", 45.0)).boxes[0]
    half = 10 * math.sqrt(2)
    assert turned == pytest.approx([30 - half, 20 - half, 30 + half, 20 + half])


def test_resized_crop_enlarges():
    result = moved(BOX, ("ResizedCrop", 0.25, (0.0, 0.0)))
    assert result.boxes.tolist() == [[20, 10, 50, 40]]
    result = moved(BOX, ("ResizedCrop", 0.25, (0.5, 0.5)))
    assert result.boxes.tolist() == [[0, 0, 20, 20]]
    assert result.visibility == pytest.approx([100 / 225])


def test_the_inscribed_ellipse_of_a_circle_keeps_its_size():
    rules = BoxRules(ellipse=True)
    result = moved([[20, 10, 40, 30]], ("Rotate", 45.0), rules=rules)
    assert result.boxes[0] == pytest.approx([20, 10, 40, 30])


def test_what_left_the_frame_does_not_come_back():
    there_and_back = (("TranslateX", 20), ("TranslateX", -20))
    result = moved(BOX, *there_and_back)
    assert result.boxes.tolist() == [[20, 5, 25, 20]]
    assert result.visibility == pytest.approx([1 / 3])
    assert result.clipped.tolist() == [True]
    frame = moved(BOX, *there_and_back, rules=BoxRules(clip="frame"))
    assert frame.boxes.tolist() == BOX
    assert frame.visibility == pytest.approx([1 / 3])


def test_visibility_is_of_the_original_box_over_all_steps():
    # Two cuts of .8 and .75: .6 of the original remains.
    ops = (("TranslateX", 13.0), ("TranslateX", 3.0))
    boxes = [[10.0, 5.0, 25.0, 20.0]]
    assert moved(boxes, *ops).visibility == pytest.approx([9 / 15])
    kept = moved(boxes, *ops, rules=BoxRules(min_visibility=0.6))
    assert kept.reasons == ("",)
    dropped = moved(boxes, *ops, rules=BoxRules(min_visibility=0.61))
    assert dropped.reasons == ("visibility",)
    assert dropped.boxes.shape == (0, 4)


def test_the_three_ways_to_clip():
    ops = (("TranslateX", 15),)
    found = {
        clip: moved(BOX, *ops, rules=BoxRules(clip=clip)).boxes.tolist()
        for clip in ("visible", "frame", "none")
    }
    assert found == {
        "visible": [[0, 5, 10, 20]], "frame": [[0, 5, 10, 20]],
        "none": [[-5, 5, 10, 20]],
    }  # fmt: skip
    # A corner that left the frame no longer stretches the visible box.
    rotated = [("Rotate", 45.0)]
    corner = [[25.0, 0.0, 55.0, 12.0]]
    visible = moved(corner, *rotated).boxes[0]
    frame = moved(corner, *rotated, rules=BoxRules(clip="frame")).boxes[0]
    assert (visible[:2] >= frame[:2] - 1e-9).all()
    assert (visible[2:] <= frame[2:] + 1e-9).all()
    assert np.prod(visible[2:] - visible[:2]) < np.prod(frame[2:] - frame[:2])


def test_cutout_hides_but_does_not_change_a_box():
    hole = ("Cutout", 10, (5, 10, 20, 20))  # y0 x0 y1 x1: two thirds
    result = moved(BOX, hole)
    assert result.boxes.tolist() == BOX
    assert result.visibility == pytest.approx([1 / 3])
    blind = moved(BOX, hole, rules=BoxRules(count_cover=False))
    assert blind.visibility.tolist() == [1]
    final = moved(BOX, ("Identity", 0), cut=(5, 10, 20, 25))
    assert final.reasons == ("visibility",)  # wholly covered
    # A cover moves with the pixels, and two of them are counted once.
    twice = moved(BOX, hole, ("TranslateX", -10), hole)
    assert twice.visibility == pytest.approx([1 / 3])


def test_reasons_and_original_index():
    boxes = [[0, 0, 5, 5], [10, 10, 30, 30], [18, 0, 22, 4], [50, 30, 60, 40]]
    rules = BoxRules(min_side=3)
    result = moved(boxes, ("TranslateX", 20), rules=rules)
    assert result.reasons == ("outside", "", "side", "")
    assert result.index.tolist() == [1, 3]
    assert result.boxes.tolist() == [[0, 10, 10, 30], [30, 30, 40, 40]]


def test_no_boxes_and_boxes_at_the_border():
    assert moved([]).boxes.shape == (0, 4)
    whole = moved([[0, 0, 60, 40]], rules=BoxRules(min_visibility=1))
    assert whole.reasons == ("",)
    assert not whole.clipped.any()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 1]], "shape"),
        ([[0, 0, np.nan, 1]], "not finite"),
        ([[3, 0, 3, 5]], "no area"),
        ([[3, 0, 2, 5]], "no area"),
    ],
)
def test_bad_boxes(boxes, message):
    with pytest.raises(DataError, match=message):
        moved(boxes)


@pytest.mark.parametrize(
    "wrong", [{"clip": "soft"}, {"min_visibility": 2}, {"min_side": -1}]
)
def test_bad_rules(wrong):
    with pytest.raises(UsageError):
        BoxRules(**wrong)


def mirrored_mask(plan):
    """Pixels that a crop took from the reflected border: copies of the object."""
    height, width = plan.shape
    y = np.arange(height)[:, None] + int(plan.dy[0])
    x = np.arange(width)[None, :] + int(plan.dx[0])
    return (y < 0) | (y >= height) | (x < 0) | (x >= width)


def rendered(plan, image):
    """The view without the mirrored copies at the border of its crop."""
    fill = np.zeros(1, dtype=np.uint8)

    def run(part, picture):
        return kernels.apply(part, picture[None], fill=fill)[0]

    still = {name: np.zeros_like(getattr(plan, name)) for name in WEAK}
    weak = dataclasses.replace(plan, op=np.full_like(plan.op, -1))
    ops = dataclasses.replace(plan, **still)
    if plan.geometry_last:
        image = run(weak, run(ops, image))
        return np.where(mirrored_mask(plan)[..., None], 0, image)
    image = np.where(mirrored_mask(plan)[..., None], 0, run(weak, image))
    return run(ops, image)


WEAK = ("hflip", "vflip", "turns", "dy", "dx")


@settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    shape=st.tuples(st.integers(8, 48), st.integers(8, 48)),
    square=st.booleans(),
    count=st.integers(1, 3),
    last=st.booleans(),
    interpolation=st.sampled_from(["nearest", "bilinear"]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_pixels_stay_inside_the_moved_box(
    shape, square, count, last, interpolation, seed, data
):
    if square:
        shape = (shape[0], shape[0])
    height, width = shape
    x0 = data.draw(st.integers(0, width - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    y0 = data.draw(st.integers(0, height - 1))
    y1 = data.draw(st.integers(y0 + 1, height))
    policy = Policy(
        "moves", ops=MOVES, count=count, hflip=0.5, vflip=0.5, crop_pad=0.3,
        quarter_turns=True, order="geometry-last" if last else "geometry-first",
        interpolation=interpolation,
    )  # fmt: skip
    plan = draw(policy, seed=seed, stream="t", counters=[0], shape=shape)
    image = np.zeros((*shape, 1), dtype=np.uint8)
    image[y0:y1, x0:x1] = 255
    # Where it is interpolated: what is at least half white belongs to the box.
    rows, columns = np.nonzero(rendered(plan, image)[..., 0] >= 128)
    slack = np.ones(2)  # pixels
    for clip in ("visible", "frame", "none"):
        rules = BoxRules(clip=clip, min_side=0)
        found = transform_boxes(plan, 0, [[x0, y0, x1, y1]], rules=rules)
        if not len(rows):
            continue
        if not len(found.boxes):
            # Sampled at a pixel's corner: a sliver may be seen of what left.
            seen = np.array([np.ptp(columns), np.ptp(rows)]) + 1
            assert (seen <= 2 * slack).any()
            continue
        left, top, right, bottom = found.boxes[0]
        assert columns.min() >= left - slack[0]
        assert columns.max() + 1 <= right + slack[0]
        assert rows.min() >= top - slack[1]
        assert rows.max() + 1 <= bottom + slack[1]


def test_the_box_is_not_too_large_either():
    """On average the moved box fits the pixels: not merely the whole frame."""
    slack = []
    policy = Policy("moves", ops=MOVES[:4], count=2, hflip=0.5)
    image = np.zeros((48, 40, 1), dtype=np.uint8)
    image[12:30, 8:33] = 255
    plan = draw(policy, seed=3, stream="t", counters=np.arange(200), shape=(48, 40))
    for row in range(200):
        pixels = rendered(plan[row : row + 1], image)[..., 0]
        rows, columns = np.nonzero(pixels)
        found = transform_boxes(plan, row, [[8, 12, 33, 30]]).boxes
        if len(rows) and len(found):
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            slack.append(np.abs(found[0] - seen).max())
    assert len(slack) > 150
    assert max(slack) < 2.5
    assert np.mean(slack) < 0.6
