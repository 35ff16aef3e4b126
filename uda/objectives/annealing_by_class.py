"""Training signal annealing under imbalance: forms that look at the class.

The published threshold starts at 1/C for all. With few images of a rare class and
many of a common one that masks the common class as a whole at first (a network
learns the mix of classes before anything else), and lets the repeats of the rare
one through. These forms are ours; none is published.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.objectives.annealing import Schedule, tsa_threshold
from uda.objectives.precision import full_precision

# Fewer remembered values than this say nothing about a class's quantile.
MIN_REMEMBERED = 8
SMALLEST_QUOTA = 0.25


def true_class_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Return (B,) softmax(logits)[label], without gradient."""
    probs = full_precision(logits.detach()).softmax(1)
    return probs.gather(1, labels[:, None]).squeeze(1)


def prior_thresholds(progress: float, prior: Tensor, schedule: Schedule) -> Tensor:
    """Return η_c = start_c + (1 - start_c) α(s) with start_c = max(1/C, π_c).

    A network that knows the mix of classes and nothing else then masks nothing.

    Args:
        progress: s in [0, 1].
        prior: (C,) shares of the classes in labelled batches.
        schedule: of α, see `tsa_threshold`.

    Returns:
        (C,) thresholds in the dtype of the prior.
    """
    num = len(prior)
    # α(s), from the published form for C classes.
    alpha = (tsa_threshold(progress, num, schedule) - 1 / num) / (1 - 1 / num)
    start = prior.clamp(min=1 / num)
    return start + (1 - start) * alpha


def mask_by_class(logits: Tensor, labels: Tensor, thresholds: Tensor) -> Tensor:
    """Keep examples whose true class is not yet above its own threshold.

    Args:
        logits: (B, C), those the loss sees.
        labels: (B,) int64.
        thresholds: (C,); infinity exempts a class.

    Returns:
        (B,) of 0 and 1.
    """
    true_class = true_class_probs(logits, labels)
    return (true_class <= thresholds.to(true_class)[labels]).to(true_class.dtype)


def exempt_rare(thresholds: Tensor, counts: Tensor, *, below: int) -> Tensor:
    """Return thresholds that never mask classes of fewer than ``below`` images."""
    rare = counts.to(thresholds.device) < below
    return torch.where(rare, torch.inf, thresholds)


def quota_memory(num_classes: int, *, remembered: int = 64) -> dict[str, Tensor]:
    """Return an empty memory: (C, M) last true-class probabilities, (C,) how many.

    Args:
        num_classes: C.
        remembered: M.
    """
    return {
        "probs": torch.zeros(num_classes, remembered, dtype=torch.float64),
        "seen": torch.zeros(num_classes, dtype=torch.int64),
    }


def quota_mask(
    logits: Tensor,
    labels: Tensor,
    memory: dict[str, Tensor],
    *,
    progress: float,
    told: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Drop the best-known share of each class: an annealing that keeps proportions.

    At progress s the quota q = max(s, 1/4) of a class is kept: those whose
    true-class probability is at most the q-quantile of the class's last M values. A
    class with fewer than 8 remembered values is kept whole.

    Args:
        logits: (B, C), those the loss sees.
        labels: (B,) int64.
        memory: from `quota_memory`, as it was before this batch.
        progress: s in [0, 1].
        told: (B,) bool, whose values are remembered; None for all.

    Returns:
        (B,) of 0 and 1, and the memory with this batch.
    """
    true_class = true_class_probs(logits, labels)
    quota = min(1.0, max(SMALLEST_QUOTA, progress))
    limits = _quantiles(memory, quota).to(true_class)
    mask = (true_class <= limits[labels]).to(true_class.dtype)
    if told is None:
        told = torch.ones_like(labels, dtype=torch.bool)
    return mask, _remember(memory, labels, true_class, told)


def _quantiles(memory: dict[str, Tensor], quota: float) -> Tensor:
    """Return (C,) quantiles of the remembered values; infinity where too few."""
    size = memory["probs"].shape[1]
    filled = memory["seen"].clamp(max=size)
    places = torch.arange(size, device=filled.device)
    blank = places[None, :] >= filled[:, None]
    ordered = memory["probs"].masked_fill(blank, torch.inf).sort(1).values
    # The smallest value that at least the quota of the values do not exceed.
    rank = (torch.ceil(quota * filled.double()).long() - 1).clamp(min=0)
    found = ordered.gather(1, rank[:, None]).squeeze(1)
    return torch.where(filled >= MIN_REMEMBERED, found, torch.inf)


def _remember(
    memory: dict[str, Tensor], labels: Tensor, probs: Tensor, told: Tensor
) -> dict[str, Tensor]:
    """Write a batch into the ring of each class; no loop over examples."""
    num, size = memory["probs"].shape
    same = torch.nn.functional.one_hot(labels, num) * told[:, None]
    before = (same.cumsum(0) - same).gather(1, labels[:, None]).squeeze(1)
    place = (memory["seen"][labels] + before) % size
    total = memory["seen"] + same.sum(0)
    # Of more than M examples of a class in one batch the last M stay.
    stays = told & (before >= same.sum(0)[labels] - size)
    # The others go into a column that is cut off: choosing rows waits for the device.
    wider = torch.nn.functional.pad(memory["probs"], (0, 1))
    wider[labels, torch.where(stays, place, size)] = probs.double()
    return {"probs": wider[:, :size].clone(), "seen": total}
