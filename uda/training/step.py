"""One optimisation step: Unsupervised Data Augmentation on one page.

    L = L_sup + w(t) L_con + e L_ent

L_sup: cross entropy of labelled images, those already learnt left out by training
signal annealing. L_con: KL from the sharpened, detached prediction on the weak
view to the prediction on the strong view, masked by confidence, mean over all.
Source: Xie et al., "Unsupervised Data Augmentation for Consistency Training",
NeurIPS 2020; released image code of google-research/uda.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from uda.data.streams import Batch
from uda.models.forward import ALL_FLIPS, HORIZONTAL_FLIPS, NO_FLIPS, forward_views
from uda.models.heads import Outputs
from uda.objectives.annealing import mean_over_kept, tsa_mask, tsa_threshold
from uda.objectives.consistency.uda import ConsistencyTerms, uda_loss
from uda.objectives.entropy import entropy
from uda.objectives.supervised import cross_entropy, weighted_mean
from uda.training.config import RunConfig
from uda.training.schedules import (
    annealing_progress,
    consistency_start,
    learning_rate_factor,
    ramp,
)
from uda.training.state import TrainState

FLIPS = {"none": NO_FLIPS, "horizontal": HORIZONTAL_FLIPS, "both": ALL_FLIPS}


@dataclass(frozen=True)
class Moment:
    """The scheduled values at one step."""

    lr_factor: float
    consistency_weight: float
    tsa_progress: float | None

    @classmethod
    def at(cls, step: int, config: RunConfig, trust: float = 1.0) -> Moment:
        """Evaluate every schedule at a step; ``trust`` scales the unlabelled branch."""
        total = config.loop.steps
        return cls(
            lr_factor=learning_rate_factor(
                step,
                total=total,
                kind=config.optimizer.schedule,
                warmup=config.optimizer.warmup_steps,
            ),
            consistency_weight=trust
            * config.consistency.weight
            * ramp(
                step,
                start=consistency_start(config),
                length=round(config.consistency.ramp_share * total),
            ),
            tsa_progress=None
            if config.supervised.tsa == "none"
            else annealing_progress(
                step, length=round(config.supervised.tsa_share * total)
            ),
        )


class Terms(NamedTuple):
    """The loss of a step and what is worth knowing about it; tensors, no syncs."""

    total: Tensor
    supervised: Tensor
    kept: Tensor
    correct: Tensor
    consistency: Tensor | None = None
    entropy: Tensor | None = None
    unlabeled: ConsistencyTerms | None = None


def training_step(
    state: TrainState,
    batches: list[Batch],
    config: RunConfig,
    moment: Moment,
    class_weights: Tensor | None = None,
) -> tuple[list[Terms], Tensor]:
    """Do one update from one batch, or from several whose gradients accumulate.

    Returns:
        The terms of each batch, and the gradient norm before clipping.
    """
    state.optimizer.zero_grad(set_to_none=True)
    parts = []
    for batch in batches:
        terms = losses(state, batch, config, moment, class_weights)
        (terms.total / len(batches)).backward()  # type: ignore[no-untyped-call]
        parts.append(terms)
    for group in state.optimizer.param_groups:
        group["lr"] = config.optimizer.lr * group["lr_scale"] * moment.lr_factor
    limit = config.optimizer.clip_norm or float("inf")
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), limit)
    state.optimizer.step()
    state.ema.update(state.model, state.step)
    state.step += 1
    return parts, norm


def losses(
    state: TrainState,
    batch: Batch,
    config: RunConfig,
    moment: Moment,
    class_weights: Tensor | None = None,
) -> Terms:
    """Forward the views of a batch and compose the loss."""
    method = config.consistency
    known = None
    if method.weak_pass == "table" and batch.unlabeled_index is not None:
        known = Outputs(state.objective_state["teacher"][batch.unlabeled_index])
    with torch.autocast(
        batch.labeled.device.type,
        dtype=torch.bfloat16,
        enabled=config.loop.precision == "bf16",
    ):
        views = forward_views(
            state.model,
            batch.labeled,
            batch.weak,
            batch.strong,
            batch_norm=config.loop.batch_norm,
            weak_pass=method.weak_pass,
            teacher=state.ema.model,
            flips=FLIPS[method.teacher_flips],
            known=known,
        )
    logits_labeled = views.labeled.leaf.float()
    per_example = cross_entropy(logits_labeled, batch.targets)
    kept = _kept(logits_labeled, batch.targets, config, moment)
    if class_weights is None:
        supervised = mean_over_kept(per_example, kept)
    else:
        supervised = weighted_mean(per_example, kept * class_weights[batch.targets])
    correct = (logits_labeled.detach().argmax(1) == batch.targets).float().mean()
    if views.weak is None or views.strong is None:
        return Terms(supervised, supervised.detach(), kept, correct)

    logits_weak = views.weak.leaf.float()
    unlabeled = uda_loss(
        logits_weak,
        views.strong.leaf.float(),
        temperature=method.temperature,
        threshold=method.threshold,
    )
    consistency = unlabeled.loss.mean()
    total = supervised + moment.consistency_weight * consistency
    uncertainty = None
    if method.entropy_weight:
        uncertainty = entropy(logits_weak).mean()
        total = total + method.entropy_weight * uncertainty
    return Terms(
        total,
        supervised.detach(),
        kept,
        correct,
        consistency.detach(),
        None if uncertainty is None else uncertainty.detach(),
        unlabeled,
    )


def _kept(logits: Tensor, labels: Tensor, config: RunConfig, moment: Moment) -> Tensor:
    """Return the (B,) mask of labelled images that give signal at this step."""
    threshold = tsa_level(config, logits.shape[1], moment)
    if threshold is None:
        return torch.ones(len(labels), device=labels.device)
    return tsa_mask(logits, labels, threshold)


def tsa_level(config: RunConfig, num_classes: int, moment: Moment) -> float | None:
    """Return TSA's threshold at this moment, or None when it is not active."""
    schedule = config.supervised.tsa
    if schedule == "none" or moment.tsa_progress is None:
        return None
    return tsa_threshold(moment.tsa_progress, num_classes, schedule)
