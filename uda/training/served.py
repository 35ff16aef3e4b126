"""The model as it is evaluated, asked for targets, and handed over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from uda.training.prior import sampling_prior
from uda.training.teacher import Images, statistics_rows, with_clean_statistics

if TYPE_CHECKING:
    from uda.training.trainer import Trainer

_WHITE = 255


def clean(
    trainer: Trainer, model: nn.Module, images: Images | None = None
) -> nn.Module:
    """Return the model with the statistics of clean images and its prior taken out.

    Args:
        trainer: the run.
        model: live or averaged.
        images: (N, H, W, K) whose statistics; None for those of the final size.
    """
    if images is None:
        images = trainer.parts.pool.images
    found = _with_statistics(trainer, model, images)
    offset = _offset(trainer, found, images)
    if offset is None:
        return found
    found = copy.deepcopy(found) if found is model else found
    found.logit_offset.copy_(offset)  # type: ignore[operator]
    return found


def _with_statistics(trainer: Trainer, model: nn.Module, images: Images) -> nn.Module:
    loop = trainer.config.loop
    # Frozen statistics are those that the weights came with, and stay so.
    if not loop.clean_statistics or loop.batch_norm == "frozen":
        return model
    rows = trainer.parts.training_rows
    chosen = statistics_rows(rows, trainer.config.seed)
    return with_clean_statistics(model, images, chosen)


def _offset(trainer: Trainer, model: nn.Module, images: Images) -> Tensor | None:
    """Return what the leaf logits lose in evaluation, or None for nothing."""
    config, parts = trainer.config, trainer.parts
    if config.supervised.logit_adjustment == "post-hoc":
        prior = torch.tensor(sampling_prior(config, parts.class_counts))
        return config.supervised.adjustment_tau * prior.log()
    if config.semi_supervised and config.consistency.debias:
        return blank_logits(model, images.shape[1:])
    return None


@torch.no_grad()
def blank_logits(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Return the (C,) logits of an image without any pattern; (H, W, K) is its shape.

    What a classifier says to nothing is its bias, whatever mix of classes caused it.
    Taken off the logits, for targets and for the final answer alike, it leaves a blank
    image undecided; nobody has to state a prior.
    Source: Lee and Kim, "CDMAD: Class-Distribution-Mismatch-Aware Debiasing for
    Class-Imbalanced Semi-Supervised Learning", CVPR 2024; LeeHyuck/CDMAD.
    """
    height, width, channels = shape
    device = next(model.parameters()).device
    white = torch.full(
        (1, channels, height, width), _WHITE, dtype=torch.uint8, device=device
    )
    mode = model.training
    logits: Tensor = model.eval()(white).leaf[0]
    model.train(mode)
    return logits
