"""Focal loss: what is already right counts less.

Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017; in its
softmax form as in the class-balanced loss of Cui et al., CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision


def focal(logits: Tensor, labels: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Return -(1 - p_y)^γ log p_y with p = softmax(logits).

    γ = 0 is cross entropy. The factor carries gradient, as published.

    Args:
        logits: (B, C).
        labels: (B,) int64.
        gamma: γ >= 0; 1 or 2 are customary.

    Returns:
        (B,) nats, in fp32 or better.

    Raises:
        UsageError: γ is negative.
    """
    if gamma < 0:
        raise UsageError(f"focal gamma = {gamma}: must not be negative")
    log_probs = torch.log_softmax(full_precision(logits), 1)
    log_true = log_probs.gather(1, labels[:, None]).squeeze(1)
    # 1 - p from the log keeps its digits where p is close to 1; the clamp keeps the
    # gradient finite where p is 1 and γ < 1.
    wrong = -torch.expm1(log_true)
    tiny = torch.finfo(wrong.dtype).tiny
    return -(wrong.clamp(min=tiny) ** gamma) * log_true
