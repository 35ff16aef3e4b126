"""Backbones by name: our own networks, torchvision's and timm's.

Every backbone maps normalised images (B, K, H, W) to features (B, D) and carries
``num_features`` = D.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uda.errors import UsageError
from uda.models.networks import SmallNet, WideResNet
from uda.models.weights import load_backbone_weights, widen_or_narrow

# No single linear layer to take off, several outputs, or one fixed image size.
_UNSUITED = ("googlenet", "inception_v3", "squeezenet", "vit_", "maxvit")


def build_backbone(
    name: str,
    *,
    channels: int,
    weights: Path | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Build a backbone without its classifier.

    New layers are drawn from torch's generator: wrap the call in
    `uda.models.seeding.seeded` (as `build_classifier` does).

    Args:
        name: ``small``, ``wrn-D-K`` (``wrn-28-2``), a torchvision classification
            model (``resnet18``) or ``timm/NAME``.
        channels: K, 1 or 3. With K = 1 the first convolution's weights are the sum
            over the three colours: the same network, seeing grey.
        weights: file to start from, see `uda.models.weights`.
        pretrained: download the library's published weights.

    Raises:
        UsageError: unknown name, both sources of weights, or no published weights.
        CheckpointError: the weight file cannot be used.
    """
    if channels not in (1, 3):
        raise UsageError(f"channels = {channels}: images have 1 or 3")
    if weights is not None and pretrained:
        raise UsageError("--weights and --pretrained exclude each other: choose one")
    if name.startswith("timm/"):
        backbone = _timm(name.removeprefix("timm/"), channels, pretrained)
    elif name == "small" or name.startswith("wrn-"):
        backbone = _own(name, channels, pretrained)
    else:
        backbone = _torchvision(name, channels, pretrained)
    if weights is not None:
        load_backbone_weights(backbone, weights)
    return backbone


# Chosen on validation parts; docs/method.md has the trials.
SMALL: dict[str, Any] = {
    "widths": (24, 48, 48, 96, 96),
    "kernels": (5, 3, 3, 3, 3),
    "strides": (2, 2, 1, 2, 1),
    "with_maximum": False,
    "centered": True,
}


def _own(name: str, channels: int, pretrained: bool) -> nn.Module:
    if pretrained:
        raise UsageError(
            f"{name}: nobody publishes weights for this network; train them and "
            "give the file with --weights, or choose a torchvision backbone"
        )
    if name == "small":
        return SmallNet(channels, **SMALL)
    match = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    depth, width = (int(match[1]), int(match[2])) if match else (0, 0)
    if depth < 10 or (depth - 4) % 6 or width < 1:
        raise UsageError(
            f"{name!r}: a wide ResNet is written wrn-D-K with D = 10, 16, 22, 28, … "
            "and K = 1, 2, …, for example wrn-28-2"
        )
    return WideResNet(depth, width, channels)


def _torchvision_names() -> list[str]:
    from torchvision import models

    return [
        name
        for name in models.list_models(module=models)
        if not name.startswith(_UNSUITED)
    ]


def _torchvision(name: str, channels: int, pretrained: bool) -> nn.Module:
    from torchvision import models

    known = _torchvision_names()
    if name not in known:
        raise UsageError(_unknown(name, ["small", "wrn-28-2", *known]))
    published = models.get_model_weights(name).DEFAULT if pretrained else None
    try:
        net: nn.Module = models.get_model(name, weights=published, progress=False)
    except (OSError, RuntimeError) as error:  # no network, or a damaged download
        assert published is not None
        file = published.url.rsplit("/", 1)[-1]
        raise UsageError(
            f"{name}: the published weights cannot be downloaded ({error}). Fetch "
            f"{file} on a connected machine, then give it with --weights {file}, or "
            f"put it into {Path(torch.hub.get_dir()) / 'checkpoints'}"
        ) from error
    num_features = _remove_last_linear(net)
    if channels == 1:
        _replace_first_convolution(net)
    net.num_features = num_features  # type: ignore[assignment]
    return net


def _unknown(name: str, known: list[str]) -> str:
    if name.startswith(_UNSUITED):
        return (
            f"{name!r} is not supported: it has several outputs, no linear "
            "classifier, or one fixed image size; try resnet18 or convnext_tiny"
        )
    close = difflib.get_close_matches(name, known, 3) or ["small", "resnet18"]
    return (
        f"{name!r} is not a known backbone. Did you mean {', '.join(close)}? Known: "
        "small, wrn-D-K, torchvision's classification models, timm/NAME"
    )


def _remove_last_linear(net: nn.Module) -> int:
    """Replace the classifying layer by the identity; return its input size."""
    path, linear = [
        (path, layer)
        for path, layer in net.named_modules()
        if isinstance(layer, nn.Linear)
    ][-1]
    net.set_submodule(path, nn.Identity())
    return linear.in_features


def _replace_first_convolution(net: nn.Module) -> None:
    path, first = next(
        (path, layer)
        for path, layer in net.named_modules()
        if isinstance(layer, nn.Conv2d)
    )
    settings: dict[str, Any] = {
        key: getattr(first, key)
        for key in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    grey = nn.Conv2d(1, first.out_channels, bias=first.bias is not None, **settings)
    with torch.no_grad():
        grey.weight.copy_(widen_or_narrow(first.weight, 1))
        if first.bias is not None and grey.bias is not None:
            grey.bias.copy_(first.bias)
    net.set_submodule(path, grey)


def _timm(name: str, channels: int, pretrained: bool) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise UsageError(
            f"timm/{name} needs the package timm: pip install timm"
        ) from error
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), 3)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise UsageError(f"timm/{name}: timm knows no model of that name.{hint}")
    try:
        net: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=0, in_chans=channels
        )
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"timm/{name}: the published weights cannot be downloaded ({error}). "
            "Fetch them on a connected machine and give the file with --weights"
        ) from error
    # Some networks have one more layer between the pooled features and the output.
    net.num_features = getattr(net, "head_hidden_size", net.num_features)
    return net
