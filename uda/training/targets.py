"""Renews the table of targets: predicted, agreed upon, refined, known.

The order matters: a second opinion is asked about what the network says, a stated
prior bends what is left, thresholds are read off the result, and labels overrule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from uda.objectives.consistency.by_class import LIMITS
from uda.objectives.consistency.class_thresholds import class_thresholds
from uda.objectives.consistency.gates import has_opinion
from uda.objectives.darp import refine
from uda.objectives.hierarchy import conditionals, undecided_kept
from uda.training import watch
from uda.training.class_tree import agreed_by_node, with_known
from uda.training.estimate import settle_prior
from uda.training.guard import balanced_accuracy, opinion_metrics
from uda.training.monitor import tags
from uda.training.prior import teaching_prior
from uda.training.schedules import consistency_start
from uda.training.served import MainHead, clean, teaching
from uda.training.sizes import images_at, is_change
from uda.training.step import FLIPS
from uda.training.teacher import (
    WHOLE,
    Rows,
    agreed,
    known_targets,
    prediction_table,
    under_prior,
)
from uda.tree import Tree

if TYPE_CHECKING:
    from uda.training.trainer import Trainer


def renew_teacher(trainer: Trainer) -> None:
    """Renew the table of targets, where the method uses one and it is due."""
    settle_prior(trainer)
    if not _is_due(trainer):
        return
    config, state = trainer.config.consistency, trainer.state
    rows = renewed_rows(trainer)
    # The size that training is at: the averaged network knows no other as well.
    images = images_at(trainer.config, trainer.parts, state.step)
    teacher = teaching(trainer, state.ema.model, images)
    found = prediction_table(
        teacher,
        images,
        rows,
        num_classes=len(trainer.parts.classes),
        flips=FLIPS[config.teacher_flips],
    )
    final = images is trainer.parts.pool.images
    named, served = _accuracies(trainer, teacher if final else None)
    table, alone = _agreed(trainer, found.leaf, named)
    if trainer.opinion is not None:
        trainer.health[tags.TEXTURE_ALONE] = float(alone)
    table = _bent(trainer, table, rows)
    table = _with_labels(trainer, table)
    watch.look(trainer, served, table, rows)
    state.objective_state["teacher"] = table
    if found.auxiliary is not None:
        auxiliary = found.auxiliary
        if config.balanced_head == "abc":
            # Its targets are its own.
            auxiliary, _ = _agreed(trainer, auxiliary, served, balanced=True)
        auxiliary = _with_labels(trainer, auxiliary)
        state.objective_state["teacher_auxiliary"] = auxiliary


def renewed_rows(trainer: Trainer) -> Rows:
    """Return the (n,) pool rows that get a target now, sorted.

    Of a large pile those alone that are drawn before the next renewal: which these are
    is a function of the step, and to predict all of them would cost more than training.
    """
    config, stream = trainer.config, trainer.stream
    rows, sampler = trainer.parts.unlabeled, stream.unlabeled_sampler
    if len(rows) <= WHOLE or sampler is None:
        return rows
    per_update, step = config.optimizer.accumulation, trainer.state.step
    ahead = config.consistency.refresh_steps
    micro = range(step * per_update, (step + ahead) * per_update)
    return np.unique(rows[np.concatenate([sampler.indices(m) for m in micro])])


def _accuracies(
    trainer: Trainer, teacher: nn.Module | None
) -> tuple[float | None, float | None]:
    """Judge the averaged network as it names targets, and as it would be handed over.

    Targets come from the main head, answers from the auxiliary one where there is one.

    Args:
        trainer: the run.
        teacher: what named the targets, where that was at the final size: validation
            images are of no other, and so are the statistics for them.
    """
    if not len(trainer.parts.validation):
        return None, None
    averaged, final = trainer.state.ema.model, trainer.parts.pool.images
    several_heads = trainer.config.consistency.balanced_head != "none"
    post_hoc = trainer.config.supervised.logit_adjustment == "post-hoc"
    if not several_heads and not post_hoc:
        both, _ = balanced_accuracy(trainer, teacher or clean(trainer, averaged))
        return both, both
    served, _ = balanced_accuracy(trainer, clean(trainer, averaged))
    if trainer.opinion is None:  # nothing that the teacher is compared with
        return None, served
    judged = teacher or teaching(trainer, averaged, final)
    named, _ = balanced_accuracy(trainer, MainHead(judged) if several_heads else judged)
    return named, served


def _is_due(trainer: Trainer) -> bool:
    config = trainer.config
    since = trainer.state.step - consistency_start(config)
    uses = config.semi_supervised and config.consistency.weak_pass == "table"
    due = since % config.consistency.refresh_steps == 0
    due = since >= 0 and (due or is_change(config, trainer.state.step))
    return uses and trainer.trust > 0 and config.consistency.weight > 0 and due


def _agreed(
    trainer: Trainer,
    table: Tensor,
    accuracy: float | None,
    *,
    balanced: bool = False,
) -> tuple[Tensor, bool]:
    """Ask for the second opinion: alone where it is the better one, else agreed.

    Where texture is ahead, waiting for the network to agree would keep the very images
    from it that it has to learn from.

    Args:
        trainer: the run.
        table: (N, C) log-probabilities of one of the network's heads.
        accuracy: of that head on the validation part; texture's is compared with it.
        balanced: whether the head answers for an even mix, as texture does. Else
            texture's opinion is brought to the head's mix: two mixes cannot be
            averaged, and what takes the prior out later would take it out of both.

    Returns:
        (N, C) log-probabilities, and whether texture names them alone.
    """
    weight, tree = trainer.config.consistency.texture_weight, trainer.parts.tree
    if trainer.opinion is None:
        return table, False
    opinion = trainer.opinion
    if not balanced:
        progress = trainer.state.step / trainer.config.loop.steps
        counts = trainer.parts.class_counts
        prior = teaching_prior(trainer.config, counts, progress)
        opinion = under_prior(opinion, prior)
    other = opinion_metrics(trainer, opinion).get("val_ema/balanced_accuracy")
    if accuracy is not None and other is not None and other > accuracy:
        return opinion.clone(), True
    if tree is not None:
        return agreed_by_node(table, opinion, weight, tree), False
    return agreed(table, opinion, weight), False


def _bent(trainer: Trainer, table: Tensor, rows: Rows) -> Tensor:
    """Bend fresh rows to a stated prior, and read the thresholds per class off them.

    Both are of the pile; labelled images in the table are not part of it.
    """
    config, prior = trainer.config.consistency, trainer.objective.prior
    pile = torch.from_numpy(np.intersect1d(rows, trainer.parts.pile)).to(table.device)
    if prior is not None and config.refinery == "darp":
        table[pile] = _refined(table[pile], prior, trainer.parts.tree)
    if config.class_floor is not None:
        said = table[pile]
        limits = class_thresholds(
            said[has_opinion(said)],
            threshold=config.threshold,
            floor=config.class_floor,
        )
        trainer.state.objective_state[f"method/{LIMITS}"] = limits
    return table


def _refined(table: Tensor, prior: tuple[float, ...], tree: Tree | None) -> Tensor:
    """Bend those rows of a table to a prior that somebody has an opinion on.

    The others stay as they are and are left out: uniform rows give way first, and the
    whole correction would end in them, where it teaches nobody.
    """
    deciding = table if tree is None else conditionals(table, tree)[0]
    told = has_opinion(deciding)
    if not told.any():
        return table
    found = refine(table[told].exp().cpu(), torch.tensor(prior))
    bent = found.clamp(min=1e-12).log().to(table)
    if tree is not None:
        bent = undecided_kept(table[told], bent, tree)
    refined = table.clone()
    refined[told] = bent
    return refined


def _with_labels(trainer: Trainer, table: Tensor) -> Tensor:
    rows = torch.from_numpy(trainer.parts.labeled).to(table.device)
    targets, tree = trainer.parts.targets, trainer.parts.tree
    if tree is not None:
        known = with_known(table[rows], targets, tree)
    else:
        known = known_targets(targets, len(trainer.parts.classes))
    table[rows] = known.to(table)
    return table
