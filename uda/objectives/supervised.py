"""The supervised loss per example, class weights, and how to reduce.

Reductions are functions with a name, since "mean over all" and "mean over kept"
are different methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision

WeightKind = Literal["inverse", "sqrt", "effective"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy per example: -log softmax(logits)[label].

    Args:
        logits: (B, C).
        labels: (B,) int64.

    Returns:
        (B,) nats, in fp32 or better.
    """
    return F.cross_entropy(full_precision(logits), labels, reduction="none")


def class_weights(
    counts: Sequence[int] | Tensor,
    kind: WeightKind = "inverse",
    *,
    beta: float = 0.999,
) -> Tensor:
    """Weights per class from training counts n_c, normalised to sum to C.

    - ``inverse``: 1 / n_c
    - ``sqrt``: 1 / sqrt(n_c)
    - ``effective``: (1 - beta) / (1 - beta^n_c), the inverse of the effective number
      of examples (Cui et al., "Class-Balanced Loss", CVPR 2019). With counts of
      10² to 10³ only beta = 0.99 to 0.999 is useful; 0.9999 already is 1 / n.

    A class without examples gets weight 0 and leaves the others' sum at the number
    of classes present.

    Args:
        counts: (C,) examples per class.
        kind: see above.
        beta: for ``effective``, in [0, 1).

    Returns:
        (C,) float32.

    Raises:
        UsageError: unknown kind or beta, negative counts, or no examples at all.
    """
    n = torch.as_tensor(counts, dtype=torch.float64)
    present = n > 0
    if bool((n < 0).any()) or not bool(present.any()):
        raise UsageError(f"class counts {n.tolist()}: there are no examples to weigh")
    if kind == "inverse":
        raw = 1 / n
    elif kind == "sqrt":
        raw = n.rsqrt()
    elif kind == "effective":
        if not 0 <= beta < 1:
            raise UsageError(f"beta = {beta}: must be at least 0 and below 1")
        raw = (1 - beta) / (1 - beta**n)
    else:
        raise UsageError(f"class weights {kind!r}: choose inverse, sqrt or effective")
    weights = torch.where(present, raw, 0.0)
    return (weights * (present.sum() / weights.sum())).float()


def weighted_mean(
    losses: Tensor, weights: Tensor, *, least: Tensor | None = None
) -> Tensor:
    """Return Σ w_i · l_i / Σ w_i; exactly 0, with zero gradients, if all w_i are 0.

    For class weights give ``class_weights(...)[labels]``, multiplied by a mask where
    there is one.

    Args:
        losses: (B,).
        weights: (B,), not negative.
        least: scalar that the sum of the weights counts as where it is smaller.

    Returns:
        scalar.
    """
    weights = weights.detach().to(losses.dtype)
    total = weights.sum()
    if least is not None:
        total = total.clamp(min=least.detach().to(total))
    return (losses * weights).sum() / torch.where(total > 0, total, 1.0)
