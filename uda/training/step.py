"""One optimisation step: Unsupervised Data Augmentation on one page.

    L = L_sup + w(t) L_con + e L_ent

Where a guard takes weight off the unlabelled branch, both of its terms lose it.

L_sup: cross entropy of labelled images, those already learnt left out by training
signal annealing. L_con: KL from the sharpened, detached prediction on the weak
view to the prediction on the strong view, masked by confidence, mean over all.
Other forms of either come in as values (``objective``); the step is the same.
Source: Xie et al., "Unsupervised Data Augmentation for Consistency Training",
NeurIPS 2020; released image code of google-research/uda.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from uda.data.streams import Batch
from uda.models.forward import (
    ALL_FLIPS,
    HORIZONTAL_FLIPS,
    NO_FLIPS,
    VERTICAL_FLIPS,
    Views,
    forward_views,
)
from uda.models.heads import Outputs
from uda.objectives.consistency.method import ConsistencyTerms
from uda.objectives.entropy import entropy
from uda.training.clock import Clock
from uda.training.config import RunConfig
from uda.training.objective import Objective
from uda.training.schedules import (
    annealing_progress,
    consistency_start,
    learning_rate_factor,
    ramp,
    size_number,
    size_starts,
)
from uda.training.state import TrainState

FLIPS = {
    "none": NO_FLIPS,
    "horizontal": HORIZONTAL_FLIPS,
    "vertical": VERTICAL_FLIPS,
    "both": ALL_FLIPS,
    None: ALL_FLIPS,  # not settled yet: timed as the most that it can be
}


@dataclass(frozen=True)
class Moment:
    """The scheduled values at one step."""

    lr_factor: float
    consistency_weight: float
    tsa_progress: float | None
    penalty_weight: float = 0.0
    progress: float = 0.0
    trust: float = 1.0
    ema_step: int | None = None

    @classmethod
    def at(cls, step: int, config: RunConfig, trust: float = 1.0) -> Moment:
        """Evaluate every schedule at a step; ``trust`` scales the unlabelled branch."""
        total, weight = config.loop.steps, config.consistency.weight
        risen = trust * ramp(
            step,
            start=consistency_start(config),
            length=round(config.consistency.ramp_share * total),
        )
        return cls(
            lr_factor=learning_rate_factor(
                step,
                total=total,
                kind=config.optimizer.schedule,
                warmup=config.optimizer.warmup_steps,
            ),
            consistency_weight=weight * risen,
            tsa_progress=None
            if config.supervised.tsa == "none"
            else annealing_progress(
                step, length=round(config.supervised.tsa_share * total)
            ),
            # Another head's loss has a weight of its own, and not the method's.
            penalty_weight=risen if weight > 0 else 0.0,
            progress=step / total,
            trust=trust,
            ema_step=step - size_starts(config)[size_number(config, step)],
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
    objective: Objective,
) -> tuple[list[Terms], Tensor]:
    """Do one update from one batch, or from several whose gradients accumulate.

    Returns:
        The terms of each batch, and the gradient norm before clipping.
    """
    state.optimizer.zero_grad(set_to_none=True)
    parts = []
    for number, batch in enumerate(batches):
        clock = Clock(
            state.step * len(batches) + number, moment.progress, moment.tsa_progress
        )
        terms = losses(state, batch, config, objective, clock, moment)
        (terms.total / len(batches)).backward()  # type: ignore[no-untyped-call]
        parts.append(terms)
    for group in state.optimizer.param_groups:
        group["lr"] = config.optimizer.lr * group["lr_scale"] * moment.lr_factor
    limit = config.optimizer.clip_norm or float("inf")
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), limit)
    state.optimizer.step()
    warmed = state.step if moment.ema_step is None else moment.ema_step
    state.ema.update(state.model, warmed)
    state.step += 1
    return parts, norm


def losses(
    state: TrainState,
    batch: Batch,
    config: RunConfig,
    objective: Objective,
    clock: Clock,
    moment: Moment,
) -> Terms:
    """Forward the views of a batch and compose the loss."""
    views = _forward(state, batch, config)
    labeled, memory = objective.on_labeled(
        views.labeled, batch.targets, clock, state.objective_state
    )
    correct = objective.hit_rate(views.labeled.served.detach(), batch.targets)
    terms = Terms(labeled.loss, labeled.loss.detach(), labeled.kept, correct)
    if views.weak is None or views.strong is None or batch.unlabeled_index is None:
        state.objective_state = memory
        return terms

    unlabeled, state.objective_state = objective.on_unlabeled(
        views.weak, views.strong, batch.unlabeled_index, clock, memory
    )
    consistency = unlabeled.loss.mean()
    total = labeled.loss + moment.consistency_weight * consistency
    if unlabeled.penalty is not None:
        total = total + moment.penalty_weight * unlabeled.penalty
        consistency = consistency + unlabeled.penalty
    uncertainty = None
    if config.consistency.entropy_weight:
        uncertainty = entropy(views.weak.leaf.float()).mean()
        total = total + moment.trust * config.consistency.entropy_weight * uncertainty
    return terms._replace(
        total=total,
        consistency=consistency.detach(),
        entropy=None if uncertainty is None else uncertainty.detach(),
        unlabeled=unlabeled,
    )


def _forward(state: TrainState, batch: Batch, config: RunConfig) -> Views:
    method = config.consistency
    known = None
    if method.weak_pass == "table" and batch.unlabeled_index is not None:
        known = table_outputs(state.objective_state, batch.unlabeled_index)
    with torch.autocast(
        batch.labeled.device.type,
        dtype=torch.bfloat16,
        enabled=config.loop.precision == "bf16",
    ):
        return forward_views(
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


def table_outputs(memory: dict[str, Tensor], rows: Tensor) -> Outputs:
    """Return what the table of targets says about some pool rows."""
    auxiliary = memory.get("teacher_auxiliary")
    return Outputs(
        leaf=memory["teacher"][rows],
        auxiliary=None if auxiliary is None else auxiliary[rows],
    )
