"""CDMAD: take out what the classifier says when it sees nothing.

The answer to an image without any pattern is bias of the classifier, whatever the
mix of classes that caused it; nobody has to state a prior.
Source: Lee & Kim, "CDMAD: Class-Distribution-Mismatch-Aware Debiasing for
Class-Imbalanced Semi-Supervised Learning", CVPR 2024; LeeHyuck/CDMAD.
"""

from __future__ import annotations

from torch import Tensor

from uda.objectives.precision import full_precision


def without_bias(logits: Tensor, blank: Tensor) -> Tensor:
    """Return logits - blank, for targets and for the final answer alike.

    Args:
        logits: (N, C).
        blank: (C,) or (1, C) logits of an image of one colour, same network.

    Returns:
        (N, C) without gradient into ``blank``.
    """
    return full_precision(logits) - full_precision(blank.detach()).reshape(1, -1)
