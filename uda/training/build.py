"""Builds what changes during training: model, averaged copy, optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from uda.errors import UsageError
from uda.models.classifier import Classifier, ModelSpec, build_classifier
from uda.models.device import choose_device
from uda.models.ema import Ema
from uda.models.finetune import parameter_groups
from uda.models.tiles import Tiling
from uda.training.config import RunConfig
from uda.training.prepare import Parts
from uda.training.state import TrainState


def training_device(name: str) -> torch.device:
    """Return the device to train on.

    Raises:
        UsageError: no such device here, or one that cannot train.
    """
    if name.partition(":")[0] == "mps":
        raise UsageError(
            f"--device {name}: Apple's GPUs have no double precision, which some of "
            "the objectives count in; take --device cpu, or cuda on another machine"
        )
    return choose_device(name)


def model_spec(config: RunConfig, parts: Parts) -> ModelSpec:
    """Describe the classifier that fits the pool."""
    pool = parts.pool
    return ModelSpec(
        backbone=config.model.name if config.method != "texture" else "texture",
        classes=parts.classes,
        channels=int(pool.images.shape[-1]),
        mean=tuple(float(value) for value in pool.mean),
        std=tuple(float(value) for value in pool.std),
        head=_head(config) if parts.tree is None else "tree",
        tree=None if parts.tree is None else parts.tree.branches,
        independent=config.model.independent,
        tiles=_tiling(config, parts),
        link="sigmoid" if config.data.multi_label else "softmax",
    )


def _tiling(config: RunConfig, parts: Parts) -> Tiling | None:
    data = config.data
    if data.tiles is None:
        return None
    if data.background not in parts.classes:
        raise UsageError(
            f"--background {data.background!r}: no such class; the data has "
            f"{', '.join(parts.classes)}"
        )
    place = parts.classes.index(data.background)
    return Tiling(*data.tiles, data.tile_join, place)


def _head(config: RunConfig) -> Literal["flat", "cosine", "balanced"]:
    if config.semi_supervised and config.consistency.balanced_head != "none":
        return "balanced"
    return "cosine" if config.supervised.loss == "ldam" else "flat"


def build_state(config: RunConfig, spec: ModelSpec, device: torch.device) -> TrainState:
    """Build model, averaged copy and optimiser, all from the run's seed."""
    model: Classifier = build_classifier(
        spec,
        seed=config.seed,
        weights=Path(config.model.weights) if config.model.weights else None,
        pretrained=config.model.pretrained,
    )
    model = model.to(device)
    if config.loop.channels_last:
        model = model.to(memory_format=torch.channels_last)
    model.train()
    return TrainState(
        model,
        Ema(model, config.loop.ema_decay, warmup=config.loop.ema_warmup),
        _optimizer(config, model),
    )


def _optimizer(config: RunConfig, model: Classifier) -> torch.optim.Optimizer:
    settings = config.optimizer
    # UDA decays every parameter; AdamW's users expect biases and norms left out.
    groups = parameter_groups(
        model,
        settings.lr,
        config.model.layer_decay or 1.0,
        weight_decay=settings.weight_decay,
        decay_all=settings.name == "sgd",
    )
    if settings.name == "sgd":
        return torch.optim.SGD(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
        )
    return torch.optim.AdamW(groups, lr=settings.lr)
