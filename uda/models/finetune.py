"""Fine-tuning: the trunk frozen first, then layer-wise learning rates.

Early layers of a trained backbone are general and should move less than the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from uda.models.classifier import Classifier

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def set_trunk_frozen(model: Classifier, frozen: bool) -> None:
    """Freeze or release the backbone.

    Frozen means: no gradients, and evaluation mode (batch norm keeps its running
    statistics, no dropout) that survives ``model.train()``.
    """
    model.trunk_frozen = frozen
    model.backbone.requires_grad_(not frozen)
    model.backbone.train(model.training and not frozen)


def parameter_groups(
    model: Classifier,
    lr: float,
    layer_decay: float = 1.0,
    *,
    weight_decay: float = 0.0,
    decay_all: bool = True,
) -> list[dict[str, Any]]:
    """Sort parameters into optimiser groups with layer-wise learning rates.

    A stage n stages below the head learns at ``lr * layer_decay**n``; the head at
    ``lr``. Stages are the backbone's own children in order (a plain container
    counts as its members, a lone normalisation belongs to the stage before it).

    Args:
        model: the classifier; every parameter lands in exactly one group, frozen
            ones too, so that they can be released later.
        lr: learning rate of the head.
        layer_decay: factor per stage, in (0, 1].
        weight_decay: for the decayed parameters.
        decay_all: True decays every parameter, biases and norms too
            (google-research/uda); False only those of two dimensions or more.

    Returns:
        Groups with ``params``, ``lr``, ``lr_scale`` (a schedule sets
        ``lr = value * lr_scale``), ``weight_decay`` and ``name``.
    """
    stages = _stages(model.backbone)
    groups: list[dict[str, Any]] = []
    for depth, (name, params) in enumerate([*stages, ("head", _params(model.head))]):
        scale = layer_decay ** (len(stages) - depth)
        for decayed in (True, False):
            chosen = [p for p in params if (decay_all or p.ndim > 1) is decayed]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": lr * scale,
                        "lr_scale": scale,
                        "weight_decay": weight_decay if decayed else 0.0,
                        "name": name if decayed else f"{name} (not decayed)",
                    }
                )
    return groups


def _stages(backbone: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """Return the parameters of each stage, in the order of the forward pass."""
    own = list(backbone.parameters(recurse=False))
    stages: list[tuple[str, list[nn.Parameter]]] = [("backbone", own)] if own else []
    for name, child in _children(backbone):
        params = _params(child)
        if not params:
            continue
        if stages and isinstance(child, _NORMS):
            stages[-1][1].extend(params)
        else:
            stages.append((f"backbone.{name}", params))
    return stages


def _children(backbone: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    children = list(backbone.named_children())
    with_weights = [child for _, child in children if _params(child)]
    for name, child in children:
        # Networks that keep all their stages in one container ("features").
        lone = len(with_weights) <= 2 and isinstance(child, nn.Sequential)
        if lone:
            yield from ((f"{name}.{key}", part) for key, part in child.named_children())
        else:
            yield name, child


def _params(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters())
