"""The compiled executor equals one Pillow call after the other, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.augment.helpers import everything, make_images, widest
from tests.augment.test_fallback import SHAPES, compare
from uda.augment import fallback, kernels
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
    assert kernels._compiled() is not None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(OPS))
def test_each_op_equals_pillow(name, channels):
    policy = Policy("one", (widest(name),), count=1)
    for shape in SHAPES:
        compare(policy, shape, channels, executor=run)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["geometry-first", "geometry-last"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_sequences_equal_pillow(count, order, channels):
    for shape in SHAPES:
        compare(everything(count, order), shape, channels, num=10, executor=run)


@pytest.mark.parametrize("name", ["weak", "uda", "fixmatch", "defect-safe"])
def test_presets_equal_pillow(name):
    for shape in [(32, 32), (40, 28)]:
        for channels in (1, 3):
            compare(load_policy(name), shape, channels, num=40, executor=run)


@pytest.mark.parametrize("channels", [1, 3])
def test_many_sequences_equal_the_fallback(channels):
    fill = np.array([117, 40, 201][:channels], dtype=np.uint8)
    for order in ("geometry-first", "geometry-last"):
        images = make_images("smooth", 400, 24, 24, channels)
        plan = draw(
            everything(3, order, hflip=0.3, vflip=0.3, quarter_turns=False),
            seed=1,
            stream=order,
            counters=np.arange(400),
            shape=(24, 24),
        )
        expected = np.empty_like(images)
        fallback.apply(plan, images, fill=fill, out=expected)
        np.testing.assert_array_equal(run(plan, images, fill), expected)


def test_without_a_cache_it_compiles_in_memory(monkeypatch):
    from uda.augment import compiled

    def refuse_cache(signature, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("in memory", function, options["nogil"])

    monkeypatch.setattr(compiled, "_jit", refuse_cache)
    assert compiled._compile() == ("in memory", compiled._execute, True)


def test_parts_on_several_threads_are_whole():
    assert kernels._edges(61, 4) == [0, 15, 30, 45, 61]
    assert kernels._edges(9, 4) == [0, 9]
    assert kernels._edges(0, 4) == [0, 0]
