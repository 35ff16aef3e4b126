"""UDA's consistency loss for several labels per image: a Bernoulli target per class.

Target, gate and divergence are those of `uda`, once per class: a class counts where
the weak view is sure that it is there or sure that it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.precision import full_precision


def sharpen_each(logits: Tensor, temperature: float | None) -> Tensor:
    """Soft targets σ(sg[z] / T): p^(1/T) / (p^(1/T) + (1 - p)^(1/T)) per class.

    Args:
        logits: (U, C) of the weak view.
        temperature: T > 0; None leaves as is.

    Returns:
        (U, C) probabilities without gradient.
    """
    logits = full_precision(logits.detach())
    return torch.sigmoid(logits if temperature is None else logits / temperature)


def two_sided_mask(logits: Tensor, threshold: float | None) -> Tensor:
    """Keep sure answers: 1 where σ(z) > t or σ(z) < 1 - t, strictly, else 0.

    Args:
        logits: (U, C) of the weak view, not sharpened.
        threshold: t, a probability; None to keep all.

    Returns:
        (U, C) of 0 and 1, in the dtype of the loss.
    """
    probs = full_precision(logits.detach()).sigmoid()
    if threshold is None:
        return torch.ones_like(probs)
    return ((probs > threshold) | (probs < 1 - threshold)).to(probs.dtype)


def bernoulli_kl(targets: Tensor, logits_strong: Tensor) -> Tensor:
    """KL(Bernoulli(t) ‖ Bernoulli(σ(z))) per image and class.

    t log t + (1 - t) log(1 - t) - t log σ(z) - (1 - t) log σ(-z); 0 log 0 counts as 0.

    Args:
        targets: (U, C) probabilities; no gradient flows into them.
        logits_strong: (U, C).

    Returns:
        (U, C) nats, in fp32 or better.
    """
    logits = full_precision(logits_strong)
    t = full_precision(targets.detach()).to(logits.dtype)
    cross = -t * F.logsigmoid(logits) - (1 - t) * F.logsigmoid(-logits)
    return cross + torch.xlogy(t, t) + torch.xlogy(1 - t, 1 - t)


@dataclass(frozen=True)
class BernoulliUda:
    """UDA for several labels per image. It remembers nothing.

    loss_i = 1/C Σ_c 1[p_ic > t or p_ic < 1 - t] KL(sharpened p_ic ‖ q_ic)

    so that its mean over the images is the mean over all images and classes. With
    ``temperature`` 0 the targets are hard, as in FixMatch.

    Attributes:
        temperature: T of the targets; None = not sharpened, 0 = hard.
        threshold: t of the gate; None = keep all.
    """

    temperature: float | None = 0.4
    threshold: float | None = 0.8

    def memory(self, shape: Shape) -> Memory:
        """Return what there is to remember before the first step: nothing."""
        return {}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step; its ``entries`` is the mask by class."""
        if self.temperature == 0:
            targets = (full_precision(weak.detach()) > 0).to(torch.float32)
        else:
            targets = sharpen_each(weak, self.temperature)
        entries = two_sided_mask(weak, self.threshold)
        losses = entries * bernoulli_kl(targets, strong)
        terms = ConsistencyTerms(
            losses.mean(1), entries.mean(1), targets, entries=entries
        )
        return terms, memory
