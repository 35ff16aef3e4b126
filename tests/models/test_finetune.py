"""Frozen trunk and layer-wise learning rates."""

from __future__ import annotations

import pytest
import torch
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
        ("small", 4),
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
