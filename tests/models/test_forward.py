"""The three views: whose statistics, whose gradient, whose targets."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from uda.errors import UsageError
from uda.models.classifier import ModelSpec, build_classifier
from uda.models.ema import Ema
from uda.models.forward import (
    ALL_FLIPS,
    batch_norm_frozen,
    forward_views,
    running_statistics_kept,
)
from uda.objectives.consistency.uda import uda_loss
from uda.objectives.supervised import cross_entropy

SPEC = ModelSpec("wrn-10-1", ("a", "b", "c"), 1, (0.5,), (0.25,))


def pixels(num, seed, low=0, high=256):
    generator = torch.Generator().manual_seed(seed)
    shape = (num, 1, 8, 8)
    return torch.randint(low, high, shape, generator=generator, dtype=torch.uint8)


@pytest.fixture
def model():
    return build_classifier(SPEC, seed=1).double().train()


@pytest.fixture
def views():
    return pixels(4, 0), pixels(6, 1, 0, 90), pixels(6, 2, 128, 256)


def statistics(model):
    return {
        name: value.clone()
        for name, value in model.named_buffers()
        if "running" in name or "tracked" in name
    }


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def after(model, *forwards):
    """The statistics of a copy of the model after plain training-mode forwards."""
    other = copy.deepcopy(model)
    for images in forwards:
        other(images)
    return statistics(other)


def test_joint_is_one_forward_on_the_concatenation(model, views):
    wanted_statistics = after(model, torch.cat(views))
    wanted = copy.deepcopy(model)(torch.cat(views)).leaf
    found = forward_views(model, *views)
    assert torch.equal(torch.cat([v.leaf for v in found]), wanted)
    assert [len(v.leaf) for v in found] == [4, 6, 6]
    assert same(statistics(model), wanted_statistics)
    assert all(v.leaf.requires_grad for v in found)


def test_separate_records_labelled_statistics_alone(model, views):
    labeled, weak, strong = views
    wanted_statistics = after(model, labeled)
    reference = copy.deepcopy(model)
    wanted_labeled = reference(labeled).leaf
    wanted_unlabeled = reference(torch.cat([weak, strong])).leaf
    found = forward_views(model, *views, batch_norm="separate")
    assert torch.equal(found.labeled.leaf, wanted_labeled)
    assert torch.equal(torch.cat([v.leaf for v in found[1:]]), wanted_unlabeled)
    assert same(statistics(model), wanted_statistics)


def test_frozen_uses_running_statistics_for_everyone(model, views):
    model(pixels(16, 9))
    before = statistics(model)
    wanted = copy.deepcopy(model).eval()(torch.cat(views)).leaf
    found = forward_views(model, *views, batch_norm="frozen")
    torch.testing.assert_close(torch.cat([v.leaf for v in found]), wanted)
    assert same(statistics(model), before)
    assert all(layer.training for layer in model.modules())
    found.strong.leaf.sum().backward()
    assert model.backbone.norm.weight.grad is not None


@pytest.mark.parametrize("batch_norm", ["joint", "separate"])
def test_a_no_grad_weak_pass_leaves_no_trace(model, views, batch_norm):
    labeled, weak, strong = views
    seen = [torch.cat([labeled, strong])] if batch_norm == "joint" else [labeled]
    wanted_statistics = after(model, *seen)
    wanted = copy.deepcopy(model)(weak).leaf
    found = forward_views(model, *views, batch_norm=batch_norm, weak_pass="no-grad")
    torch.testing.assert_close(found.weak.leaf, wanted)
    assert not found.weak.leaf.requires_grad
    assert found.strong.leaf.requires_grad
    assert same(statistics(model), wanted_statistics)


@pytest.mark.parametrize("name", ["wrn-10-1", "small"])
def test_a_no_grad_weak_pass_takes_no_gradient_from_the_next_one(name, views):
    """Autocast remembers the weights that it cast; without gradient they have none."""
    spec = ModelSpec(name, ("a", "b", "c"), 1, (0.5,), (0.25,))
    model = build_classifier(spec, seed=1).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = forward_views(model, *views, weak_pass="no-grad")
    (found.labeled.leaf.sum() + found.strong.leaf.square().sum()).backward()
    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert without == []


def test_the_teacher_makes_the_targets_in_evaluation_mode(model, views):
    model(pixels(16, 9))
    teacher = Ema(model, 0.9).model
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    labeled, weak, strong = views
    wanted_rest = copy.deepcopy(model)(torch.cat([labeled, strong])).leaf
    found = forward_views(model, *views, weak_pass="ema", teacher=teacher)
    assert torch.equal(found.weak.leaf, teacher(weak).leaf)
    assert torch.equal(torch.cat([found.labeled.leaf, found.strong.leaf]), wanted_rest)
    assert not found.weak.leaf.requires_grad
    assert same(dict(teacher.state_dict()), before)


def test_the_teacher_may_average_over_flips(model, views):
    teacher = Ema(model, 0.9).model
    weak = views[1]
    wanted = torch.zeros(6, 3, dtype=torch.float64)
    for dims in ([], [3], [2], [2, 3]):
        wanted += teacher(weak.flip(dims)).leaf.softmax(1) / 4
    found = forward_views(
        model, *views, weak_pass="ema", teacher=teacher, flips=ALL_FLIPS
    )
    torch.testing.assert_close(found.weak.leaf.softmax(1), wanted)


def test_ema_without_a_teacher_says_what_to_do(model, views):
    with pytest.raises(UsageError, match="EMA decay"):
        forward_views(model, *views, weak_pass="ema")


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_supervised_training_is_one_plain_forward(model, views, batch_norm):
    reference = copy.deepcopy(model)
    if batch_norm == "frozen":
        reference.eval()
    wanted = reference(views[0]).leaf
    found = forward_views(model, views[0], batch_norm=batch_norm)
    torch.testing.assert_close(found.labeled.leaf, wanted)
    assert found.weak is None
    assert found.strong is None
    assert same(statistics(model), statistics(reference))


@pytest.mark.parametrize("weak_pass", ["joint", "no-grad", "ema"])
@pytest.mark.parametrize("name", ["wrn-10-1", "small"])
def test_weight_zero_is_bitwise_supervised_training_with_separate_statistics(
    weak_pass, name
):
    """λ = 0: the unlabelled branch may cost time, but must not leave a trace."""
    spec = ModelSpec(name, ("a", "b", "c"), 1, (0.5,), (0.25,))
    labels = torch.tensor([0, 1, 2, 1])
    trained = []
    for unlabeled in (False, True):
        model = build_classifier(spec, seed=2).train()
        ema = Ema(model, 0.9)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        for step in range(3):
            extra = (pixels(6, 50 + step), pixels(6, 80 + step)) if unlabeled else ()
            found = forward_views(
                model,
                pixels(4, step),
                *extra,
                batch_norm="separate",
                weak_pass=weak_pass,
                teacher=ema.model,
            )
            loss = cross_entropy(found.labeled.leaf, labels).mean()
            if found.weak is not None:
                terms = uda_loss(found.weak.leaf, found.strong.leaf, threshold=None)
                loss = loss + 0.0 * terms.loss.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ema.update(model, step)
        trained.append((model.state_dict(), ema.model.state_dict()))
    for supervised, with_unlabeled in zip(*trained, strict=True):
        for key, value in supervised.items():
            assert torch.equal(value, with_unlabeled[key]), key


def test_flags_come_back_after_an_error():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    model[1].eval()
    for block in (running_statistics_kept, batch_norm_frozen):
        with pytest.raises(KeyError), block(model):
            raise KeyError
        assert [layer.training for layer in model] == [True, False]
        assert [layer.track_running_stats for layer in model] == [True, True]


def test_a_layer_in_evaluation_mode_keeps_using_its_running_statistics():
    model = nn.BatchNorm1d(2).eval()
    model.running_mean.fill_(5.0)
    x = torch.randn(4, 2)
    wanted = model(x)
    with running_statistics_kept(model):
        assert torch.equal(model(x), wanted)
