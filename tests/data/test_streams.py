"""Streams: the batch of a step is a pure function of its number."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from uda.augment.kernels import render
from uda.augment.policy import load_policy
from uda.data.sampling import LabeledSampler, UnlabeledSampler
from uda.data.streams import (
    Batch,
    TrainStream,
    prefetch,
    to_tensor,
)
from uda.errors import DataError, UsageError

PYTHON_POLICY = """
import random
import numpy as np

def augment(image, rng):
    noise = rng.integers(0, 9, size=image.shape)
    return np.clip(image + noise + random.randrange(5), 0, 255).astype(np.uint8)
"""

FAILING_POLICY = """
def augment(image, rng):
    raise LookupError("no such filter")
"""


def make_stream(
    *, channels: int = 3, strong: object = None, unlabeled: int = 24, **changes
) -> TrainStream:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 16, 16, channels), dtype=np.uint8)
    targets = np.arange(12) % 3
    weak = load_policy("weak")
    changes = {"labeled_policy": weak, **changes}
    return TrainStream(
        images=images,
        labeled_rows=np.arange(28, 40),
        labeled_targets=targets,
        labeled_sampler=LabeledSampler(targets, batch=6, seed=7),
        unlabeled_rows=np.arange(unlabeled),
        unlabeled_sampler=UnlabeledSampler(unlabeled, batch=10, seed=7),
        weak=weak,
        strong=strong or load_policy("uda"),
        seed=7,
        fill=np.full(channels, 120, dtype=np.uint8),
        **changes,
    )


@pytest.fixture
def python_policy(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(PYTHON_POLICY)
    return load_policy(str(file))


def assert_same(one: Batch, two: Batch) -> None:
    for field in dataclasses.fields(Batch):
        a, b = getattr(one, field.name), getattr(two, field.name)
        assert (a is None) == (b is None), field.name
        if a is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a, b), field.name


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_what_was_drawn(channels):
    stream = make_stream(channels=channels)
    batch = stream(5)
    picked = stream.labeled_sampler.indices(5)
    assert batch.labeled.shape == (6, channels, 16, 16)
    assert batch.strong.shape == (10, channels, 16, 16)
    assert batch.labeled.dtype == torch.uint8
    assert batch.labeled.is_contiguous(memory_format=torch.channels_last)
    assert batch.strong.is_contiguous(memory_format=torch.channels_last)
    assert batch.targets.dtype == torch.int64
    assert batch.labeled_index.tolist() == (28 + picked).tolist()
    assert batch.targets.tolist() == (picked % 3).tolist()
    expected = stream.unlabeled_sampler.indices(5)
    assert batch.unlabeled_index.tolist() == expected.tolist()


def test_views_are_drawn_by_name_and_counter_one_by_one():
    """Literal: each view rendered alone with counter = step * batch + slot."""
    stream, step = make_stream(), 9
    batch = stream(step)
    views = {
        "labeled": (stream.labeled_policy, batch.labeled_index, batch.labeled),
        "weak": (stream.weak, batch.unlabeled_index, batch.weak),
        "strong": (stream.strong, batch.unlabeled_index, batch.strong),
    }
    for name, (policy, rows, tensor) in views.items():
        for slot, row in enumerate(rows.tolist()):
            alone = render(
                policy,
                stream.images[row : row + 1].copy(),
                seed=7,
                stream=name,
                counters=[step * len(rows) + slot],
                fill=stream.fill,
            )
            assert torch.equal(tensor[slot], to_tensor(alone)[0])


def test_an_image_drawn_twice_gets_two_views():
    stream = make_stream(unlabeled=2)
    batch = stream(0)
    rows, views = batch.unlabeled_index, batch.strong
    for row in (0, 1):
        twins = views[rows == row]
        assert len(twins) == 5
        distinct = {bytes(view.contiguous().numpy()) for view in twins}
        assert len(distinct) >= 4


def test_steps_come_in_any_order():
    forward = [make_stream()(step) for step in range(4)]
    stream = make_stream()
    for step in (3, 0, 2, 1):
        assert_same(stream(step), forward[step])


def test_supervised_batches_have_labelled_views_alone():
    full = make_stream()
    stream = dataclasses.replace(
        full, unlabeled_rows=None, unlabeled_sampler=None, weak=None, strong=None
    )
    batch = stream(3)
    assert batch.weak is batch.strong is batch.unlabeled_index is None
    assert torch.equal(batch.labeled, full(3).labeled)


def test_unlabelled_views_start_when_told():
    stream, plain = make_stream(unlabeled_start=4), make_stream()
    assert stream(3).weak is None
    assert_same(stream(4), plain(4))


def test_half_an_unlabelled_stream_is_refused():
    with pytest.raises(UsageError, match="together"):
        dataclasses.replace(make_stream(), strong=None)


@pytest.mark.parametrize(("workers", "depth"), [(0, 1), (0, 2), (2, 1), (3, 4)])
def test_prefetched_native_batches_are_the_same(workers, depth):
    stream = make_stream()
    batches = prefetch(stream, 3, 17, depth=depth, workers=workers)
    seen = list(batches)
    assert len(seen) == 14
    for step, batch in zip(range(3, 17), seen, strict=True):
        assert_same(batch, stream(step))
    assert batches.waited_total >= batches.waited >= 0


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_python_policies_give_the_same_in_any_number_of_processes(
    python_policy, workers
):
    stream = make_stream(strong=python_policy)
    before = torch.get_rng_state()
    with prefetch(stream, 2, 8, workers=workers) as batches:
        seen = list(batches)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(seen) == 6
    for step, batch in zip(range(2, 8), seen, strict=True):
        assert_same(batch, stream(step))
        assert batch.strong.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["albumentations", "imgaug", "torchvision"])
def test_workers_and_epochs_never_repeat_a_librarys_augmentations(library):
    """Private generators, forked: each worker and each epoch drew the same again."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is missing: install the dev extra")
    strong = load_policy(f"example_{library}")
    images = np.full((40, 16, 16, 1), 7, dtype=np.uint8)
    images[:, 2:9, 3:8] = np.arange(100, 135, dtype=np.uint8).reshape(7, 5, 1)
    seen = {}
    for workers in (0, 1, 2):
        stream = dataclasses.replace(
            make_stream(channels=1, strong=strong, unlabeled=20), images=images
        )
        with prefetch(stream, 0, 6, workers=workers) as batches:
            seen[workers] = [batch.strong.numpy().copy() for batch in batches]
    for workers in (1, 2):
        for one, two in zip(seen[0], seen[workers], strict=True):
            np.testing.assert_array_equal(one, two)
    # Six batches of ten are three epochs of the same picture.
    assert len({view.tobytes() for batch in seen[2] for view in batch}) > 50


def test_python_policies_are_named_once(python_policy):
    assert make_stream().python_policies == ()
    stream = make_stream(strong=python_policy, labeled_policy=python_policy)
    assert stream.python_policies == (python_policy,)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failing_policy_reaches_the_consumer_as_itself(tmp_path, workers):
    file = tmp_path / "broken.py"
    file.write_text(FAILING_POLICY)
    stream = make_stream(strong=load_policy(str(file)))
    batches = prefetch(stream, 0, 5, workers=workers)
    with pytest.raises(DataError, match=r"broken\.py") as caught:
        next(batches)
    assert "no such filter" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert list(batches) == []


def test_wrong_depth_and_workers_are_named():
    with pytest.raises(UsageError, match="depth 0"):
        prefetch(make_stream(), 0, 1, depth=0)
    with pytest.raises(UsageError, match="workers -1"):
        prefetch(make_stream(), 0, 1, workers=-1)


def test_a_memory_map_travels_by_name(tmp_path):
    plain = make_stream()
    file = tmp_path / "pool.u8"
    plain.images.tofile(file)
    mapped = np.memmap(file, dtype=np.uint8, mode="r", shape=plain.images.shape)
    stream = dataclasses.replace(plain, images=mapped)
    message = pickle.dumps(stream)
    assert len(message) < plain.images.nbytes / 2
    copy = pickle.loads(message)
    assert isinstance(copy.images, np.memmap)
    assert_same(copy(6), plain(6))
