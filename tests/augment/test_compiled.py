"""The compiled executor equals one Pillow call after the other, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.helpers import KINDS, everything, make_images, widest
from tests.augment.test_fallback import MODES, SHAPES, compare, compare_each
from tests.reference import pillow_ops
from uda import rng
from uda.augment import fallback, kernels, loading
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import Policy, load_policy

pytest.importorskip("numba")


def run(plan, images, fill):
    out = np.empty_like(images)
    kernels._apply_compiled(plan, images, fill, out=out, threads=1)
    return out


@pytest.fixture(autouse=True, scope="module")
def _compiled():
    assert loading.compiled() is not None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(OPS))
def test_each_op_equals_pillow(name, channels):
    compare_each(name, channels, executor=run)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["geometry-first", "geometry-last"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sequences_equal_pillow(count, order, channels):
    for number, shape in enumerate(SHAPES):
        policy = everything(count, order, **MODES[number % len(MODES)])
        compare(policy, shape, channels, num=6, executor=run)


@pytest.mark.parametrize("name", ["weak", "uda", "fixmatch", "defect-safe"])
def test_presets_equal_pillow(name):
    for shape in [(32, 32), (40, 28)]:
        for channels in (1, 3):
            compare(load_policy(name), shape, channels, num=40, executor=run)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    count=st.integers(1, 3),
    mode=st.sampled_from(MODES),
    order=st.sampled_from(["geometry-first", "geometry-last"]),
    seed=st.integers(0, 2**32),
)
def test_any_plan_equals_both_other_executors(
    kind, channels, height, width, count, mode, order, seed
):
    images = make_images(kind, 4, height, width, channels, seed)
    fill = np.array([117, 40, 201][:channels], dtype=np.uint8)
    plan = draw(
        everything(count, order, **mode),
        seed=seed,
        stream="s",
        counters=np.arange(4),
        shape=(height, width),
    )
    views = run(plan, images, fill)
    np.testing.assert_array_equal(views, pillow_ops.execute(plan, images, fill))
    expected = np.empty_like(images)
    fallback.apply(plan, images, fill=fill, out=expected)
    np.testing.assert_array_equal(views, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_many_sequences_equal_the_fallback(channels, mode):
    fill = np.array([117, 40, 201][:channels], dtype=np.uint8)
    for order in ("geometry-first", "geometry-last"):
        images = make_images("smooth", 200, 24, 24, channels)
        plan = draw(
            everything(3, order, hflip=0.3, vflip=0.3, quarter_turns=False, **mode),
            seed=1,
            stream=order,
            counters=np.arange(200),
            shape=(24, 24),
        )
        expected = np.empty_like(images)
        fallback.apply(plan, images, fill=fill, out=expected)
        np.testing.assert_array_equal(run(plan, images, fill), expected)


@pytest.mark.parametrize("name", ["Rotate", "ShearX", "ShearY", "TranslateX"])
def test_every_angle_and_shift_finds_the_edge_of_the_frame(name):
    """Where a row enters and leaves the source is solved, not tried out."""
    values = {"Rotate": np.linspace(-180, 180, 721), "TranslateX": np.arange(-70, 71.0)}
    value = values.get(name, np.linspace(-1, 1, 401))
    plan = draw(
        Policy("one", (widest(name),), count=1),
        seed=0,
        stream="s",
        counters=np.arange(len(value)),
        shape=(13, 64),
    )
    plan = dataclasses.replace(plan, value=value[:, None])
    images = make_images("noise", len(value), 13, 64, 1)
    expected = pillow_ops.execute(plan, images, [7])
    np.testing.assert_array_equal(run(plan, images, np.uint8([7])), expected)


def test_large_histograms_are_equalised_alike():
    images = make_images("smooth", 2, 300, 401, 3)
    policy = Policy("equal", (widest("Equalize"), widest("AutoContrast")), count=2)
    plan = draw(policy, seed=0, stream="s", counters=[0, 1], shape=(300, 401))
    fill = np.zeros(3, np.uint8)
    expected = pillow_ops.execute(plan, images, fill)
    np.testing.assert_array_equal(run(plan, images, fill), expected)


def test_without_a_cache_it_compiles_in_memory(monkeypatch):
    from uda.augment import compiled

    def refuse_cache(signature, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("in memory", function, options["nogil"])

    monkeypatch.setattr(compiled, "jit", refuse_cache)
    assert compiled._compile() == ("in memory", compiled._execute, True)


def test_parts_on_several_threads_are_whole():
    assert kernels._edges(61, 4) == [0, 15, 30, 45, 61]
    assert kernels._edges(9, 4) == [0, 9]
    assert kernels._edges(0, 4) == [0, 0]


@pytest.mark.parametrize("num", [1, 4, 19, 20])
def test_random_words_are_those_of_the_plain_generator(num, monkeypatch):
    from uda.augment.compiled_random import words

    monkeypatch.setattr(rng, "_faster", [])
    counters = np.array([0, 1, 7, 2**32 - 1, 2**40 + 3], dtype=np.uint64)
    expected = rng.integers32(5, "strong", counters, num)
    found = words(counters, rng.stream_key(5, "strong"), num)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    counters.setflags(write=False)
    strided = np.repeat(counters, 2)[::2]
    for other in (counters, strided):
        np.testing.assert_array_equal(
            words(other, rng.stream_key(5, "strong"), num), expected
        )
