"""Grad-CAM against maps that are known by hand, for every family of backbones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from uda.evaluation.saliency import NO_STAGE, TEXTURE, grad_cam
from uda.models.classifier import Classifier, ModelSpec, build_classifier
from uda.models.heads import FlatHead
from uda.models.tiles import Tiling
from uda.tree import Tree


class Linear(nn.Module):
    """One convolution without bias, then the mean over positions."""

    num_features = 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(2.0 * channels).view(2, channels, 1, 1))

    def forward(self, x):
        return self.conv(x).mean((2, 3))


def linear_model(channels: int, link="softmax") -> Classifier:
    head = FlatHead(2, 3)
    model = Classifier(
        Linear(channels), head, [0.5] * channels, [0.2] * channels, 3, link
    )
    with torch.no_grad():
        weights = torch.tensor([[1.0, -2.0], [-1.0, 0.5], [2.0, 3.0]])
        next(p for p in head.parameters() if p.ndim == 2).copy_(weights)
    return model


def by_hand(model: Classifier, image: np.ndarray, label: int) -> np.ndarray:
    """Of a linear network: sum over k of W[label, k] A_k / (H W), cut at 0."""
    x = (image.astype(np.float64) / 255 - 0.5) / 0.2  # (H, W, K)
    kernel = model.backbone.conv.weight.detach().double().numpy()[:, :, 0, 0]
    weights = next(p for p in model.head.parameters() if p.ndim == 2)
    weights = weights.detach().double().numpy()[label]
    found = np.clip((x @ kernel.T) @ weights, 0, None)
    return found / found.max() if found.max() > 0 else found


def pixels(count: int, side: int, channels: int) -> np.ndarray:
    generator = np.random.default_rng(count + side + channels)
    return generator.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_linear_network_has_the_map_that_paper_and_pencil_give(channels, link):
    model = linear_model(channels, link).train()
    images = pixels(5, 6, channels)
    classes = [0, 1, 2, 0, 1]
    maps = grad_cam(model, images, classes, batch=2).maps
    assert maps.dtype == np.float32
    for image, label, found in zip(images, classes, maps, strict=True):
        np.testing.assert_allclose(found, by_hand(model, image, label), atol=1e-5)
    assert model.training  # modes are put back
    assert all(p.grad is None for p in model.parameters())


def test_tiles_lie_where_they_were_cut():
    """One tile of a class decides under `max`, and the map is inside it."""
    model = linear_model(1)
    model.tiles = Tiling(2, 2, "max", background=1)
    image = np.full((1, 8, 8, 1), 128, dtype=np.uint8)
    image[0, 5:7, 1:3] = 255
    found = grad_cam(model, image, [2]).maps[0]
    assert found.max() == 1
    assert found[4:, :4].max() == 1
    assert found[:4].max() == 0
    assert found[:, 4:].max() == 0


def test_nothing_that_speaks_for_a_class_is_an_empty_map():
    model = linear_model(1)
    with torch.no_grad():
        model.backbone.conv.weight.zero_()
    found = grad_cam(model, pixels(2, 6, 1), [0, 2]).maps
    assert found.shape == (2, 6, 6)
    assert not found.any()
    assert grad_cam(model, pixels(0, 6, 1), []).maps.shape == (0, 6, 6)


def classifier(backbone: str, channels: int = 1, **more) -> Classifier:
    classes = ("a", "b", "c")
    spec = ModelSpec(
        backbone, classes, channels, (0.5,) * channels, (0.25,) * channels, **more
    )
    return build_classifier(spec)


def check(model: Classifier, channels: int, side: int = 64) -> None:
    images = pixels(2, side, channels)
    found = grad_cam(model, images, [0, 2])
    assert found.reason == ""
    assert found.maps.shape == (2, side, side)
    assert np.isfinite(found.maps).all()
    assert found.maps.min() >= 0
    assert found.maps.max() <= 1 + 1e-6
    assert not any(module._forward_hooks for module in model.modules())


def test_the_small_network_and_a_frozen_one():
    model = classifier("small")
    check(model, 1)
    free = grad_cam(model, pixels(2, 64, 1), [0, 1]).maps
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    np.testing.assert_array_equal(grad_cam(model, pixels(2, 64, 1), [0, 1]).maps, free)


@pytest.mark.parametrize("head", ["cosine", "balanced"])
def test_other_heads(head):
    check(classifier("small", 3, head=head), 3)


@pytest.mark.parametrize("independent", [False, True])
def test_class_trees(independent):
    branches = (("root", ("a", "defect")), ("defect", ("b", "c")))
    assert Tree(branches, ("a", "b", "c")).sizes
    model = classifier("small", head="tree", tree=branches, independent=independent)
    check(model, 1)


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet18", "swin_t"])
def test_libraries(name):
    check(classifier(name, 3), 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "alexnet", "vgg11", "vgg11_bn", "densenet121", "efficientnet_b0", "mnasnet0_5",
        "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnext50_32x4d",
        "shufflenet_v2_x0_5", "convnext_tiny", "swin_v2_t", "wide_resnet50_2",
        "timm/resnet18", "timm/convnext_atto", "timm/swin_tiny_patch4_window7_224",
    ],
)  # fmt: skip
def test_every_family(name):
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is not installed")
    check(classifier(name, 3), 3, side=224 if "swin_tiny" in name else 64)


@pytest.mark.slow
def test_tokens_have_no_map():
    pytest.importorskip("timm", reason="timm is not installed")
    model = classifier("timm/vit_tiny_patch16_224", 3)
    found = grad_cam(model, pixels(1, 224, 3), [0])
    assert found.maps is None
    assert found.reason == NO_STAGE


def test_a_texture_model_says_that_it_has_none():
    found = grad_cam(lambda images: images, pixels(1, 8, 1), [0])
    assert found.maps is None
    assert found.reason == TEXTURE
