"""Supervised losses for several labels per image: one binary decision per class.

Each is a mean over the classes, so that its size does not grow with their number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision

# A class seen in one image of a hundred would else weigh a hundredfold, and one
# wrong label of it would lead the whole network.
MOST_WEIGHT = 10.0
_SMALLEST = 1e-8


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, *, positive_weights: Tensor | None = None
) -> Tensor:
    """Binary cross entropy per image, meant over the classes.

    l_i = -1/C Σ_c [ w_c y_ic log σ(z_ic) + (1 - y_ic) log(1 - σ(z_ic)) ]

    Args:
        logits: (B, C).
        targets: (B, C) of 0 and 1.
        positive_weights: (C,) w_c of `positive_weights`; None for 1.

    Returns:
        (B,) nats, in fp32 or better.
    """
    logits = full_precision(logits)
    losses = F.binary_cross_entropy_with_logits(
        logits,
        targets.to(logits.dtype),
        reduction="none",
        pos_weight=None if positive_weights is None else positive_weights.to(logits),
    )
    return losses.mean(1)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 1.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss per image, meant over the classes.

    p = σ(z), p_m = max(p - clip, 0):
    l_i = -1/C Σ_c [ y (1 - p)^γ+ log p + (1 - y) p_m^γ- log(1 - p_m) ]

    Easy negatives, which most pairs of image and class are, count little, and those
    below ``clip`` not at all. Source: Ridnik et al., "Asymmetric Loss For Multi-Label
    Classification", ICCV 2021. It sums over classes; the mean is the same but for a
    factor that the learning rate takes up.

    Args:
        logits: (B, C).
        targets: (B, C) of 0 and 1.
        gamma_negative: focusing exponent where the class is absent.
        gamma_positive: the same where it is present.
        clip: probability below which an absent class costs nothing.

    Returns:
        (B,) nats, in fp32 or better.
    """
    logits = full_precision(logits)
    probs = torch.sigmoid(logits)
    shifted = (probs - clip).clamp(min=0)
    present = (1 - probs) ** gamma_positive * F.logsigmoid(logits)
    absent = shifted**gamma_negative * (1 - shifted).clamp(min=_SMALLEST).log()
    return -torch.where(targets > 0, present, absent).mean(1)


def positive_weights(
    shares: Tensor, kind: str = "inverse", *, most: float = MOST_WEIGHT
) -> Tensor:
    """Weights of the positive term that make both answers count alike.

    - ``inverse``: (1 - s_c) / s_c, that is n_negative / n_positive
    - ``sqrt``: the square root of it

    Args:
        shares: (C,) share of the images, as they are drawn, that show each class.
        kind: see above.
        most: no weight is above this, and none below 1 / most.

    Returns:
        (C,) float32.

    Raises:
        UsageError: for another kind.
    """
    if kind not in ("inverse", "sqrt"):
        raise UsageError(
            f"--class-weights {kind}: with --multi-label choose inverse or sqrt"
        )
    found = shares.double().clamp(_SMALLEST, 1 - _SMALLEST)
    weights = (1 - found) / found
    weights = weights.sqrt() if kind == "sqrt" else weights
    return weights.clamp(1 / most, most).float()
