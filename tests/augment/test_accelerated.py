"""The torch executor writes the levels that the others write, and never waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.augment.helpers import KINDS, everything, make_images, widest
from uda.augment import accelerated, accelerated_ops, kernels, tables
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy, load_policy
from uda.errors import DataError

NATIVE = [name for name, op in OPS.items() if op.kind != "codec"]
FILL = np.array([117, 40, 201], dtype=np.uint8)
VARIANTS = [
    {},
    {"interpolation": "bilinear"},
    {"fill": "reflect"},
    {"fill": "reflect", "interpolation": "bilinear"},
]


def most(count, order, **changes):
    """Every op and feature that the torch executor has."""
    return everything(count, order, ops=tuple(map(widest, NATIVE)), **changes)


def compare(policy, shape, channels, *, num, device="cpu"):
    fill = FILL[:channels]
    for number, kind in enumerate(KINDS):
        images = make_images(kind, num, *shape, channels, seed=number)
        plan = draw(policy, seed=3, stream=kind, counters=np.arange(num), shape=shape)
        expected = kernels.apply(plan, images, fill=fill)
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
        found = accelerated.apply(plan, batch, fill=fill)
        np.testing.assert_array_equal(
            found.cpu().permute(0, 2, 3, 1).numpy(), expected, kind
        )


def test_every_op_has_one_place():
    elsewhere = {"Identity", "Cutout"}
    elsewhere |= {n for n in NATIVE if OPS[n].kind == "geometry"}
    here = {OPS[name].id for name in set(NATIVE) - elsewhere}
    assert set(accelerated_ops.BY_ID) == here


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NATIVE)
def test_each_op_equals_the_other_executors(name, channels):
    for shape in [(24, 24), (13, 21), (1, 1), (2, 3)]:
        policy = Policy("one", (widest(name),), count=1)
        compare(policy, shape, channels, num=8)


def test_maps_are_computed_once_for_all_slots(monkeypatch):
    asked, real = [], tables.matrices
    monkeypatch.setattr(
        tables, "matrices", lambda plan: asked.append(plan) or real(plan)
    )
    images = make_images("noise", 4, 8, 8, 3)
    plan = draw(
        most(3, "geometry-last"), seed=0, stream="s", counters=range(4), shape=(8, 8)
    )
    accelerated.apply(plan, to_batch(images), fill=FILL)
    assert asked == [plan]


@pytest.mark.parametrize("changes", VARIANTS[1:])
@pytest.mark.parametrize(
    "name", [name for name in NATIVE if OPS[name].kind == "geometry"]
)
def test_geometry_in_all_its_variants(name, changes):
    for shape in [(24, 24), (13, 21), (1, 1), (1, 4)]:
        compare(Policy("one", (widest(name),), count=1, **changes), shape, 3, num=6)


@pytest.mark.parametrize("name", [n for n in NATIVE if OPS[n].has_magnitude])
def test_levels_over_the_whole_range(name):
    op = OPS[name]
    policy = Policy("one", (widest(name),), count=1)
    plan = draw(policy, seed=0, stream="s", counters=np.arange(62), shape=(16, 16))
    span = plan.value.max() - plan.value.min()
    plan.value[:31, 0] = np.linspace(plan.value.min(), plan.value.max(), 31)
    if op.name in ("Posterize", "Solarize", "SolarizeAdd") or "Translate" in op.name:
        plan.value[:] = np.rint(plan.value)
    assert span > 0
    images = make_images("noise", 62, 16, 16, 3)
    expected = kernels.apply(plan, images, fill=FILL)
    found = accelerated.apply(plan, to_batch(images), fill=FILL)
    np.testing.assert_array_equal(to_array(found), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["geometry-first", "geometry-last"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sequences(count, order, channels):
    for changes in VARIANTS:
        compare(most(count, order, **changes), (20, 20), channels, num=8)
    compare(most(count, order), (9, 14), channels, num=8)


@pytest.mark.parametrize("name", ["weak", "uda", "fixmatch", "defect-safe"])
def test_normalised_presets_agree_within_a_hundred_thousandth(name):
    images = make_images("smooth", 24, 32, 28, 3)
    plan = draw(
        load_policy(name), seed=1, stream="s", counters=np.arange(24), shape=(32, 28)
    )
    scale = {"mean": (0.48, 0.46, 0.41), "std": (0.2, 0.21, 0.19)}
    expected = kernels.apply_normalized(plan, images, fill=FILL, **scale)
    found = torch.empty(24, 3, 32, 28)
    given = accelerated.apply(
        plan,
        to_batch(images),
        fill=FILL,
        out=found,
        normalize=(scale["mean"], scale["std"]),
    )
    assert given is found
    assert np.abs(found.numpy() - expected).max() < 1e-5


def test_the_images_stay_as_they_are():
    images = to_batch(make_images("noise", 12, 16, 16, 3))
    before = images.clone()
    for count in (0, 2):
        for changes in ({}, {"hflip": 0, "vflip": 0, "crop_pad": 0, "cutout": 0}):
            policy = most(count, "geometry-last", **changes, quarter_turns=False)
            plan = draw(
                policy, seed=0, stream="s", counters=np.arange(12), shape=(16, 16)
            )
            accelerated.apply(plan, images, fill=FILL).fill_(7)
            assert torch.equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_pixel_is_asked_for(channels):
    # A meta tensor has no values: whatever the host had to read would raise.
    images = torch.empty(40, channels, 16, 16, dtype=torch.uint8, device="meta")
    for changes in VARIANTS:
        policy = most(3, "geometry-last", **changes)
        plan = draw(policy, seed=0, stream="s", counters=np.arange(40), shape=(16, 16))
        views = accelerated.apply(
            plan, images, fill=FILL[:channels], normalize=([0.5], [0.2])
        )
        assert views.shape == images.shape
        assert views.dtype == torch.float32


def test_jpeg_is_refused_and_named():
    policy = Policy("one", (widest("Jpeg"),), count=1)
    plan = draw(policy, seed=0, stream="s", counters=[0], shape=(8, 8))
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"holds the op Jpeg.*kernels.apply"):
        accelerated.apply(plan, images, fill=FILL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(2, 3, 8, 8)}, "images are torch.float32"),
        ({"images": torch.zeros(2, 2, 8, 8).byte()}, "with K = 1 or 3"),
        ({"images": torch.zeros(2, 3, 8, 9).byte()}, "do not fit a plan of 2 views"),
        ({"fill": [1, 2]}, "fill has 2 values for 3 channels"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(changes, message):
    plan = draw(Policy("p"), seed=0, stream="s", counters=[0, 1], shape=(8, 8))
    values = {"images": torch.zeros(2, 3, 8, 8).byte(), "fill": FILL} | changes
    with pytest.raises(DataError, match=message):
        accelerated.apply(plan, **values)


@pytest.mark.gpu
def test_an_accelerator_gives_the_same_without_waiting():
    if not torch.cuda.is_available():
        pytest.skip("needs an accelerator of the kind cuda")
    for changes in VARIANTS:
        for channels in (1, 3):
            policy = most(3, "geometry-last", **changes)
            compare(policy, (20, 20), channels, num=24, device="cuda")
    plan = draw(
        most(3, "geometry-first"),
        seed=0,
        stream="s",
        counters=np.arange(64),
        shape=(32, 32),
    )
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8, device="cuda")
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        accelerated.apply(plan, images, fill=FILL)
    finally:
        torch.cuda.set_sync_debug_mode(before)


def to_batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def to_array(batch):
    return batch.permute(0, 2, 3, 1).numpy()
