"""Entropy of predictions per example: the optional term that asks for decisions.

Source: google-research/uda, image/main.py (on the original, weakly changed view).
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.objectives.precision import full_precision


def entropy(logits: Tensor) -> Tensor:
    """Return -Σ_c p_c log p_c with p = softmax(logits), with gradient.

    UDA takes it over all unlabelled weak views, without mask.

    Args:
        logits: (U, C).

    Returns:
        (U,) nats, in fp32 or better.
    """
    log_probs = torch.log_softmax(full_precision(logits), 1)
    return -(log_probs.exp() * log_probs).sum(1)
