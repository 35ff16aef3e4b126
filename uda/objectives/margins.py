"""LDAM: rarer classes get a wider margin, on the scaled cosine of a unit classifier.

Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
Margin Loss", NeurIPS 2019; kaidic/LDAM-DRW, losses.py. Re-weighting of the last
part of training (DRW) is a schedule of class weights, not part of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision


def ldam_margins(counts: Sequence[int] | Tensor, *, largest: float = 0.5) -> Tensor:
    """Return m_c = k n_c^(-1/4), with k such that the largest is ``largest``.

    Args:
        counts: (C,) training examples per class, each at least 1.
        largest: margin of the rarest class.

    Returns:
        (C,) float32.

    Raises:
        UsageError: a class without examples.
    """
    n = torch.as_tensor(counts, dtype=torch.float64)
    if bool((n < 1).any()):
        raise UsageError(
            f"class counts {n.tolist()}: LDAM needs examples of each class"
        )
    margins = n**-0.25
    return (margins * (largest / margins.max())).float()


def ldam_logits(
    logits: Tensor, labels: Tensor, margins: Tensor, *, scale: float = 30.0
) -> Tensor:
    """Return s (cos θ_c - m_y [c = y]): what cross entropy then sees.

    Args:
        logits: (B, C) of a cosine head, s cos θ.
        labels: (B,) int64.
        margins: (C,) from `ldam_margins`.
        scale: s, as in the head.

    Returns:
        (B, C) logits.
    """
    logits = full_precision(logits)
    margin = scale * margins.to(logits)[labels][:, None]
    return logits.scatter_add(1, labels[:, None], -margin)
