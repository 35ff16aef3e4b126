"""The classifier: normalisation of raw pixels, seeded weights, spec as JSON."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from uda.errors import CheckpointError
from uda.models.classifier import Classifier, ModelSpec, build_classifier
from uda.models.heads import FlatHead

SPEC = ModelSpec("small", ("good", "scratch", "rust"), 3, (0.5, 0.4, 0.3), (0.2,) * 3)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 16, 16), generator=generator, dtype=torch.uint8)


def test_pixels_are_scaled_and_normalised_per_channel(images):
    model = Classifier(nn.Identity(), nn.Identity(), SPEC.mean, SPEC.std, 2)
    found = model.normalize(images)
    for k in range(3):
        wanted = (images[:, k].float() / 255 - SPEC.mean[k]) / SPEC.std[k]
        torch.testing.assert_close(found[:, k], wanted)
    assert found.dtype == torch.float32


def test_uint8_and_float_pixels_give_the_same(images):
    model = build_classifier(SPEC).eval()
    assert torch.equal(model(images).leaf, model(images.float()).leaf)
    assert model(images).leaf.shape == (4, 3)


def test_memory_order_stays_and_does_not_matter(images):
    model = build_classifier(SPEC).eval()
    wanted = model(images).leaf
    # How batches really lie in memory: NHWC, seen as NCHW.
    nhwc = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    normalized = model.normalize(nhwc)
    assert normalized.is_contiguous(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(nhwc).leaf, wanted)


def test_a_constant_channel_does_not_divide_by_zero(images):
    spec = ModelSpec("small", ("a", "b"), 1, (0.5,), (0.0,))
    assert build_classifier(spec)(images[:, :1]).leaf.isfinite().all()


@pytest.mark.parametrize("name", ["small", "wrn-10-1", "resnet18"])
def test_initial_weights_depend_on_the_seed_alone(name):
    spec = ModelSpec(name, ("a", "b"), 1, (0.5,), (0.2,))
    first = build_classifier(spec, seed=3).state_dict()
    before = torch.random.get_rng_state()
    torch.rand(2)
    again = build_classifier(spec, seed=3).state_dict()
    other = build_classifier(spec, seed=4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.linear.weight"], other["head.linear.weight"])
    assert not torch.equal(torch.random.get_rng_state(), before)


def test_an_untrained_small_network_is_not_yet_sure(images):
    model = build_classifier(SPEC)
    assert model(images).leaf.softmax(1).max().item() < 0.9


def test_the_wide_resnet_gets_the_published_head():
    spec = ModelSpec("wrn-10-1", tuple("abcd"), 1, (0.5,), (0.2,))
    largest = build_classifier(spec).head.linear.weight.abs().max().item()
    assert 0.45 < largest <= 0.5


def test_a_spec_survives_json():
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC
    as_lists = {**SPEC.to_json(), "classes": ["good", "scratch", "rust"]}
    assert ModelSpec.from_json(as_lists) == SPEC
    with pytest.raises(CheckpointError, match="colour"):
        ModelSpec.from_json({**SPEC.to_json(), "colour": 1})


def test_double_precision_is_carried_through(images):
    model = build_classifier(SPEC).double()
    assert model(images).leaf.dtype == torch.float64


def test_copies_are_independent(images):
    model = Classifier(nn.Flatten(), FlatHead(3 * 256, 2), SPEC.mean, SPEC.std, 2)
    other = copy.deepcopy(model)
    other.head.linear.weight.data.zero_()
    assert model(images).leaf.abs().sum() > 0
