"""The model as it is evaluated, asked for targets, and handed over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from uda.models.heads import Outputs
from uda.models.links import link_of
from uda.training.cdmad import blank_logits
from uda.training.prior import sampling_prior
from uda.training.teacher import Images, statistics_rows, with_clean_statistics

if TYPE_CHECKING:
    from uda.training.trainer import Trainer


class MainHead(nn.Module):
    """A model as if it had no auxiliary head."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.link = link_of(model)

    def forward(self, images: Tensor) -> Outputs:
        """Return the main head's outputs of (B, K, H, W) images."""
        found: Outputs = self.model(images)
        return found._replace(auxiliary=None)


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


def teaching(trainer: Trainer, model: nn.Module, images: Images) -> nn.Module:
    """Return a model as it names targets: `clean`, without a post-hoc adjustment.

    That is for answers alone. In targets the network would learn it, the next targets
    would have it twice, and so on.
    """
    if trainer.config.supervised.logit_adjustment == "post-hoc":
        return _with_statistics(trainer, model, images)
    return clean(trainer, model, images)


def _with_statistics(trainer: Trainer, model: nn.Module, images: Images) -> nn.Module:
    loop, frozen = trainer.config.loop, trainer.config.model.frozen_steps or 0
    # Frozen statistics are those that the weights came with, and stay so. So do those
    # of a frozen trunk, whose head has learnt from features with them.
    if not loop.clean_statistics or loop.batch_norm == "frozen":
        return model
    if frozen > 0 and trainer.state.step <= frozen:
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
