"""Every executor, split and thread count gives the same pixels."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.helpers import KINDS, everything, make_images
from uda.augment import kernels
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy, load_policy
from uda.errors import DataError, UsageError

PRESETS = ["weak", "uda", "fixmatch", "defect-safe"]


def views(
    policy, images, counters=None, *, seed=0, stream="strong", fill=None, **other
):
    num, *_, channels = images.shape
    return kernels.render(
        policy,
        images,
        seed=seed,
        stream=stream,
        counters=np.arange(num) if counters is None else counters,
        fill=np.array([117, 40, 201][:channels]) if fill is None else fill,
        **other,
    )


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    count=st.integers(0, 3),
    cut=st.integers(0, 12),
    seed=st.integers(0, 2**32),
)
def test_views_do_not_depend_on_the_split(
    kind, channels, height, width, count, cut, seed
):
    policy = everything(count)
    images = make_images(kind, 12, height, width, channels, seed)
    whole = views(policy, images, seed=seed)
    parts = [
        views(policy, images[i:j], np.arange(i, j), seed=seed)
        for i, j in ((0, cut), (cut, 12))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(views(policy, images, seed=seed), whole)


@pytest.mark.parametrize("name", PRESETS)
def test_copies_of_one_image_get_different_views(name):
    image = make_images("noise", 1, 32, 32, 1)
    copies = np.repeat(image, 64, axis=0)
    made = views(load_policy(name), copies).astype(float)
    assert made.var(axis=0).min() > 0
    distinct = {view.tobytes() for view in made}
    assert len(distinct) >= 50


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_change_nothing(threads):
    policy = everything(2)
    images = make_images("noise", 61, 16, 24, 3)
    expected = views(policy, images)
    np.testing.assert_array_equal(views(policy, images, threads=threads), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_fill_of_the_policy(channels):
    images = np.full((4, 8, 8, channels), 200, dtype=np.uint8)
    mean = np.array([10, 20, 30][:channels])
    for fill, level in (("mean", mean), ("black", 0), ("gray", 128)):
        made = views(Policy("cut", cutout=0.5, fill=fill), images, fill=mean)
        erased = made[(made != 200).all(axis=-1)]
        assert len(erased)
        assert (erased == level).all()


def test_uda_flips_and_crops_after_cutout():
    # Reflected and cropped holes need not be squares of 16; unmoved ones are.
    policy = load_policy("uda")
    still = Policy("cut", cutout=policy.cutout)
    white = np.full((400, 32, 32, 1), 255, dtype=np.uint8)
    last = Policy("x", cutout=0.5, crop_pad=0.125, hflip=0.5, order="geometry-last")
    first = Policy("x", cutout=0.5, crop_pad=0.125, hflip=0.5)
    areas = {
        name: (views(p, white, fill=[0]) == 0).sum(axis=(1, 2, 3))
        for name, p in (("still", still), ("first", first), ("last", last))
    }
    np.testing.assert_array_equal(areas["first"], areas["still"])
    assert areas["still"].max() == 256
    assert (areas["last"] != areas["still"]).any()


def test_the_input_may_be_read_only_or_strided():
    policy = everything(2)
    images = make_images("noise", 20, 16, 16, 3)
    expected = views(policy, images)
    images.setflags(write=False)
    np.testing.assert_array_equal(views(policy, images), expected)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(views(policy, planes), expected)


@pytest.mark.parametrize("policy", ["uda", "example_gamma"])
def test_out_is_written_and_returned(policy):
    images = make_images("noise", 9, 8, 8, 3)
    policy = load_policy(policy)
    expected = views(policy, images)
    out = np.empty_like(images)
    assert views(policy, images, out=out) is out
    np.testing.assert_array_equal(out, expected)
    planes = np.empty((9, 3, 8, 8), dtype=np.uint8).transpose(0, 2, 3, 1)
    views(policy, images, out=planes)
    np.testing.assert_array_equal(planes, expected)


GOLDEN = {
    "weak": "a20e0f8e560cae2d",
    "uda": "40d2a96b4c9ed02e",
    "fixmatch": "7ce88252d352f29e",
    "defect-safe": "5bc65b3340266576",
}


@pytest.mark.parametrize("name", PRESETS)
def test_views_are_those_of_earlier_versions(name):
    """A change here breaks every stored run: raise policy._SEMANTICS with it."""
    ramp = np.arange(6 * 20 * 24, dtype=np.uint32).reshape(6, 20, 24, 1)
    images = ((ramp * 2654435761) >> 13).astype(np.uint8)
    digest = hashlib.sha256(views(load_policy(name), images, seed=7).tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[name]


MEAN, STD = np.array([0.4, 0.5, 0.1]), np.array([0.2, 0.3, 0.25])


@pytest.mark.parametrize("executor", ["numba", "pillow"])
@pytest.mark.parametrize("order", ["geometry-first", "geometry-last"])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalized_views_are_the_views_normalized(
    channels, order, executor, monkeypatch
):
    monkeypatch.setenv("UDA_EXECUTOR", executor)
    images = make_images("smooth", 50, 9, 14, channels)
    plan = draw(
        everything(2, order, probability=0.7),
        seed=0,
        stream="s",
        counters=np.arange(50),
        shape=(9, 14),
    )
    fill, mean, std = [9, 8, 7][:channels], MEAN[:channels], STD[:channels]
    levels = kernels.apply(plan, images, fill=fill).transpose(0, 3, 1, 2)
    shape = (1, channels, 1, 1)
    expected = (levels / 255 - mean.reshape(shape)) / std.reshape(shape)
    for threads in (1, 3):
        made = kernels.apply_normalized(
            plan, images, fill=fill, mean=mean, std=std, threads=threads
        )
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, expected.astype(np.float32))
    out = np.empty((channels, 50, 9, 14), np.float32).transpose(1, 0, 2, 3)
    returned = kernels.apply_normalized(
        plan, images, fill=fill, mean=mean, std=std, out=out
    )
    assert returned is out
    np.testing.assert_array_equal(out, made)


def test_normalizing_needs_a_mean_for_each_channel_and_planes():
    plan = draw(Policy("p"), seed=0, stream="s", counters=[0], shape=(8, 8))
    image = np.zeros((1, 8, 8, 1), np.uint8)
    with pytest.raises(DataError, match="3 and 1 values for 1 channels"):
        kernels.apply_normalized(plan, image, fill=[0], mean=MEAN, std=[1])
    with pytest.raises(DataError, match=r"float32 of shape \(1, 1, 8, 8\)"):
        kernels.apply_normalized(
            plan, image, fill=[0], mean=[0], std=[1], out=np.zeros(1, np.float32)
        )


def test_every_view_may_be_reflected_or_interpolated():
    images = make_images("smooth", 30, 16, 16, 3)
    made = {
        (fill, how): views(everything(2, fill=fill, interpolation=how), images)
        for fill in ("mean", "reflect")
        for how in ("nearest", "bilinear")
    }
    assert len({array.tobytes() for array in made.values()}) == 4
    for fill, how in made:
        policy = everything(2, fill=fill, interpolation=how)
        halves = [
            views(policy, images[i : i + 15], np.arange(i, i + 15)) for i in (0, 15)
        ]
        np.testing.assert_array_equal(np.concatenate(halves), made[fill, how])


@pytest.mark.parametrize("share", [0.09, 0.25, 0.81])
def test_a_resized_crop_shows_its_share_of_the_area(share, monkeypatch):
    y, x = np.mgrid[:64, :64]
    place = np.stack([4 * x, 4 * y, 0 * x], axis=-1).astype(np.uint8)
    policy = Policy("crop", first=(OpSpec("ResizedCrop", share, share),))
    for executor in ("", "pillow"):
        monkeypatch.setenv("UDA_EXECUTOR", executor)
        for view in views(policy, np.stack([place] * 8)).astype(int):
            # Sixty-four samples, one at the centre of each part of the crop.
            width, height, _ = np.ptp(view, axis=(0, 1)) / 4 * 64 / 63
            assert width * height / 64**2 == pytest.approx(share, rel=0.05)


def test_no_images_give_no_views():
    assert views(everything(2), np.empty((0, 8, 8, 1), np.uint8)).shape == (0, 8, 8, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((2, 8, 8, 1))}, "images are float64"),
        ({"images": np.zeros((2, 8, 8), np.uint8)}, r"uint8 of shape \(2, 8, 8\)"),
        ({"images": np.zeros((2, 8, 8, 2), np.uint8)}, "K = 1 or 3"),
        ({"fill": [1, 2, 3]}, "fill has 3 values for 1 channels"),
        ({"counters": [1]}, "1 counters for 2 images"),
        ({"out": np.zeros((2, 8, 9, 1), np.uint8)}, "out is uint8 of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    values = {"images": np.zeros((2, 8, 8, 1), np.uint8), "fill": [1]} | changes
    with pytest.raises(DataError, match=message):
        views(Policy("p"), **values)


def test_a_plan_for_other_images_is_refused():
    plan = draw(Policy("p"), seed=0, stream="s", counters=[0, 1], shape=(8, 8))
    with pytest.raises(DataError, match="do not fit a plan of 2 views of 8x8 px"):
        kernels.apply(plan, np.zeros((2, 8, 9, 1), np.uint8), fill=[0])


def test_pillow_can_be_asked_for(monkeypatch):
    policy, images = everything(2), make_images("noise", 8, 8, 8, 1)
    expected = views(policy, images)
    monkeypatch.setenv("UDA_EXECUTOR", "pillow")
    assert kernels.warm_up() == "pillow"
    np.testing.assert_array_equal(views(policy, images), expected)
    monkeypatch.setenv("UDA_EXECUTOR", "nmba")
    with pytest.raises(UsageError, match="'nmba'; set it to numba or pillow"):
        kernels.warm_up()


def test_importing_views_imports_neither_numba_nor_torch():
    code = (
        "import sys, uda.augment.kernels, uda.augment.policyfile;"
        "print([m for m in ('numba', 'torch', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_after_a_fork(tmp_path):
    # In a process of its own: this one may hold threads that forbid a fork.
    code = (
        "import os, numpy as np\n"
        "from tests.augment.helpers import everything, make_images\n"
        "from tests.augment.test_kernels import views\n"
        "p, x = everything(2), make_images('noise', 64, 8, 8, 1)\n"
        "one = views(p, x, threads=2)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if np.array_equal(views(p, x, threads=2), one) else 9)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
