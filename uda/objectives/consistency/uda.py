"""UDA's consistency loss: sharpened soft target, confidence gate, KL divergence.

Source: Xie et al., "Unsupervised Data Augmentation for Consistency Training",
NeurIPS 2020 (arXiv 1904.12848); google-research/uda, image/main.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from uda.objectives.consistency.divergences import kl
from uda.objectives.consistency.gates import confidence_mask
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import sharpen


def uda_loss(
    logits_weak: Tensor,
    logits_strong: Tensor,
    *,
    temperature: float | None = 0.4,
    threshold: float | None = 0.8,
) -> ConsistencyTerms:
    """Ask the strong view for the weak view's prediction.

    loss_i = 1[max softmax(w_i) > threshold] · KL(softmax(w_i / T) ‖ softmax(s_i))

    Gradient flows through the strong logits alone. Reduce with ``loss.mean()``:
    masked examples count in the denominator.

    Args:
        logits_weak: (U, C).
        logits_strong: (U, C).
        temperature: T of the target; None = not sharpened.
        threshold: of the unsharpened confidence; None = keep all.
    """
    targets = sharpen(logits_weak, temperature)
    mask = confidence_mask(logits_weak, threshold)
    return ConsistencyTerms(mask * kl(targets, logits_strong), mask, targets)


@dataclass(frozen=True)
class Uda:
    """UDA as a method of the family; see `uda_loss`. It remembers nothing."""

    temperature: float | None = 0.4
    threshold: float | None = 0.8

    def memory(self, shape: Shape) -> Memory:
        """Return what there is to remember before the first step: nothing."""
        return {}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        terms = uda_loss(
            weak, strong, temperature=self.temperature, threshold=self.threshold
        )
        return terms, memory
