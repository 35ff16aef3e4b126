"""Divergences between targets and strong predictions, per example.

Targets are constants; gradient flows through the strong logits alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.objectives.precision import full_precision


def kl(targets: Tensor, logits_strong: Tensor) -> Tensor:
    """KL(targets ‖ softmax(logits)) = Σ_c t_c (log t_c - log softmax(logits)_c).

    Summed over classes; 0 · log 0 counts as 0.
    Source: google-research/uda, image/main.py.

    Args:
        targets: (U, C) probabilities.
        logits_strong: (U, C).

    Returns:
        (U,) nats, in fp32 or better, not negative but for rounding.
    """
    return ce(targets, logits_strong) + _negative_entropy(targets)


def ce(targets: Tensor, logits_strong: Tensor) -> Tensor:
    """Soft cross entropy -Σ_c t_c log softmax(logits)_c; gradients equal those of KL.

    Args:
        targets: (U, C) probabilities.
        logits_strong: (U, C).

    Returns:
        (U,) nats, in fp32 or better.
    """
    log_probs = torch.log_softmax(full_precision(logits_strong), 1)
    return -(targets.detach() * log_probs).sum(1)


def mse(targets: Tensor, logits_strong: Tensor) -> Tensor:
    """Mean over classes of (t_c - softmax(logits)_c)² (Mean Teacher, Π-model).

    Args:
        targets: (U, C) probabilities.
        logits_strong: (U, C).

    Returns:
        (U,), in fp32 or better.
    """
    probs = torch.softmax(full_precision(logits_strong), 1)
    return (targets.detach() - probs).square().mean(1)


def _negative_entropy(targets: Tensor) -> Tensor:
    targets = full_precision(targets.detach())
    return torch.xlogy(targets, targets).sum(1)
