"""Frozen trunk and layer-wise learning rates."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uda.models.classifier import ModelSpec, build_classifier
from uda.models.finetune import parameter_groups, set_trunk_frozen
from uda.models.forward import forward_views


def build(name):
    return build_classifier(ModelSpec(name, ("a", "b"), 1, (0.5,), (0.2,))).train()


def pixels(num=4):
    generator = torch.Generator().manual_seed(num)
    return torch.randint(
        0, 256, (num, 1, 32, 32), generator=generator, dtype=torch.uint8
    )


@pytest.mark.parametrize("name", ["small", "resnet18"])
@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_a_frozen_trunk_does_not_move_at_all(name, batch_norm):
    model = build(name)
    set_trunk_frozen(model, True)
    model.train()
    assert model.training
    assert model.head.training
    assert not any(layer.training for layer in model.backbone.modules())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), weight_decay=0.1)
    found = forward_views(model, pixels(), pixels(5), pixels(5), batch_norm=batch_norm)
    (found.labeled.leaf.square().mean() + found.strong.leaf.square().mean()).backward()
    optimizer.step()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) != key.startswith("head."), key


def test_a_released_trunk_learns_again():
    model = build("small")
    set_trunk_frozen(model, True)
    set_trunk_frozen(model, False)
    assert all(layer.training for layer in model.modules())
    model(pixels()).leaf.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_evaluation_mode_is_not_undone_by_releasing():
    model = build("small").eval()
    set_trunk_frozen(model, True)
    set_trunk_frozen(model, False)
    assert not any(layer.training for layer in model.modules())


@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize(
    "name", ["small", "wrn-10-1", "resnet18", "mobilenet_v3_small", "convnext_tiny"]
)
def test_every_parameter_is_in_exactly_one_group(name, layer_decay, decay_all):
    model = build(name)
    groups = parameter_groups(
        model, 0.3, layer_decay, weight_decay=0.01, decay_all=decay_all
    )
    seen = [id(p) for group in groups for p in group["params"]]
    assert len(seen) == len(set(seen))
    assert set(seen) == {id(p) for p in model.parameters()}
    for group in groups:
        assert group["lr"] == 0.3 * group["lr_scale"]
        if not decay_all:
            large = group["weight_decay"] > 0
            assert all((p.ndim > 1) is large for p in group["params"])
    torch.optim.SGD(groups, lr=0.3)


@pytest.mark.parametrize(
    ("name", "num_stages"),
    [
        ("small", 5),
        ("wrn-10-1", 4),
        ("resnet18", 5),
        ("convnext_tiny", 8),
        ("mobilenet_v3_small", 14),
    ],
)
def test_learning_rates_shrink_stage_by_stage(name, num_stages):
    model = build(name)
    groups = parameter_groups(model, 1.0, 0.5)
    assert [g["lr_scale"] for g in groups] == [
        0.5**n for n in range(num_stages, -1, -1)
    ]
    assert groups[-1]["name"] == "head"
    first = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    assert any(p is first.weight for p in groups[0]["params"])


def gratings(num, angles, seed):
    """Noisy stripes (num, 1, 32, 32) uint8 whose class is their direction."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % len(angles)
    angle = torch.tensor(angles)[labels].view(-1, 1, 1)
    phase, period = torch.rand(2, num, 1, 1, generator=generator) * 6.28
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    along = x * angle.cos() + y * angle.sin()
    noise = torch.randn(num, 32, 32, generator=generator)
    images = 128 + 40 * torch.sin(along / (0.7 + period / 6) + phase) + 30 * noise
    return images.clamp(0, 255).to(torch.uint8)[:, None], labels


def train(model, images, labels, steps, lr):
    optimizer = torch.optim.AdamW(parameter_groups(model, lr))
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(images), (32,), generator=generator)
        found = forward_views(model.train(), images[rows])
        loss = torch.nn.functional.cross_entropy(found.labeled.leaf, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(model, images, labels):
    with torch.no_grad():
        return (model.eval()(images).leaf.argmax(1) == labels).float().mean().item()


def test_a_trunk_trained_on_other_images_helps_where_labels_are_few(tmp_path):
    file = tmp_path / "model.safetensors"
    source_spec = ModelSpec("small", tuple("abcd"), 1, (0.5,), (0.2,))
    source = build_classifier(source_spec, seed=0)
    train(source, *gratings(400, [0.0, 0.785, 1.571, 2.356], 1), 60, 3e-3)
    save_file(source.state_dict(), file)

    # Other directions, another number of classes, four labels each.
    spec = ModelSpec("small", tuple("abc"), 1, (0.5,), (0.2,))
    few = gratings(12, [0.39, 1.2, 2.7], 2)
    test = gratings(300, [0.39, 1.2, 2.7], 3)
    scores = {}
    for name, weights in (("scratch", None), ("fine-tuned", file)):
        model = build_classifier(spec, seed=1, weights=weights)
        set_trunk_frozen(model, True)
        train(model, *few, 40, 1e-2)
        scores[name, "frozen"] = accuracy(model, *test)
        set_trunk_frozen(model, False)
        train(model, *few, 20, 1e-3)
        scores[name, "released"] = accuracy(model, *test)
    assert scores["fine-tuned", "frozen"] > scores["scratch", "frozen"] + 0.1, scores
    assert scores["fine-tuned", "released"] > scores["scratch", "released"], scores
    assert scores["fine-tuned", "released"] > 0.85, scores
