"""Training signal annealing (TSA): easy labelled examples wait for their turn.

Source: Xie et al., "Unsupervised Data Augmentation for Consistency Training",
NeurIPS 2020, appendix A; google-research/uda, image/main.py.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision

Schedule = Literal["log", "linear", "exp"]


def tsa_threshold(progress: float, num_classes: int, schedule: Schedule) -> float:
    """Return the threshold η = 1/C + (1 - 1/C) · α(s).

    - ``log``: α = 1 - exp(-5 s), for sets that are hard to overfit
    - ``linear``: α = s
    - ``exp``: α = exp(5 (s - 1)), for sets that are memorised at once

    With a confidence threshold β on the unlabelled side, little is kept there until
    η > β: for C = 6 and β = 0.8 that is at s = 0.29 (log), 0.76 (linear) or 0.95
    (exp). Prefer log, or let s reach 1 early in the run.

    Args:
        progress: s in [0, 1]; values outside are clipped.
        num_classes: C.
        schedule: see above.

    Returns:
        probability in [1/C, 1].

    Raises:
        UsageError: unknown schedule.
    """
    s = min(max(progress, 0.0), 1.0)
    if schedule == "log":
        alpha = 1 - math.exp(-5 * s)
    elif schedule == "linear":
        alpha = s
    elif schedule == "exp":
        alpha = math.exp(5 * (s - 1))
    else:
        raise UsageError(f"TSA schedule {schedule!r}: choose log, linear or exp")
    return 1 / num_classes + (1 - 1 / num_classes) * alpha


def tsa_mask(logits: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Keep examples whose true class is not yet above the threshold.

    mask_i = 1 if softmax(logits_i)[label_i] <= threshold else 0, without gradient.
    It is the probability of the true class: a confident mistake is kept.

    Args:
        logits: (B, C), those the loss sees.
        labels: (B,) int64.
        threshold: from `tsa_threshold`.

    Returns:
        (B,) of 0 and 1, in the dtype of the loss.
    """
    probs = full_precision(logits.detach()).softmax(1)
    true_class = probs.gather(1, labels[:, None]).squeeze(1)
    return (true_class <= threshold).to(probs.dtype)


def mean_over_kept(losses: Tensor, mask: Tensor, *, min_share: float = 0.0) -> Tensor:
    """Return Σ mask_i · l_i / max(Σ mask_i, min_share · B, 1).

    If everything is masked the result is exactly 0 with zero gradients.

    Args:
        losses: (B,).
        mask: (B,) of 0 and 1.
        min_share: 0 is the published form. In a small set the last survivors of a
            batch are often wrong labels; 0.25 keeps one of them from weighing more
            than four ordinary examples.

    Returns:
        scalar.
    """
    kept = mask.detach().sum().clamp(min=max(1.0, min_share * len(mask)))
    return torch.where(mask > 0, losses, 0.0).sum() / kept
