"""Targets from weak logits; no gradient ever flows through them.

Both forms are (U, C) distributions, so that every divergence takes either.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.objectives.precision import full_precision


def sharpen(logits: Tensor, temperature: float | None) -> Tensor:
    """Soft targets: softmax(sg[logits] / T); T < 1 sharpens, None leaves as is.

    Source: google-research/uda, image/main.py (T = 0.4).

    Args:
        logits: (U, C) of the weak view.
        temperature: T > 0, or None.

    Returns:
        (U, C) probabilities without gradient.
    """
    logits = full_precision(logits.detach())
    return torch.softmax(logits if temperature is None else logits / temperature, 1)


def hard(logits: Tensor) -> Tensor:
    """Pseudo-labels: one-hot of the most probable class (FixMatch).

    Args:
        logits: (U, C) of the weak view.

    Returns:
        (U, C) of 0 and 1, without gradient.
    """
    logits = full_precision(logits.detach())
    return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
