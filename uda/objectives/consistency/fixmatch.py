"""FixMatch: hard pseudo-labels of confident weak views.

Source: Sohn et al., "FixMatch", NeurIPS 2020; google-research/fixmatch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import hard


@dataclass(frozen=True)
class FixMatch:
    """loss_i = 1[max softmax(w_i) >= τ] · CE(argmax w_i, s_i), mean over all.

    Attributes:
        threshold: τ; equality keeps, as in the source.
    """

    threshold: float = 0.95

    def memory(self, shape: Shape) -> Memory:
        """Return what there is to remember before the first step: nothing."""
        return {}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        targets, confidence = hard(weak), confidence_of(weak)
        mask = (confidence >= self.threshold).to(confidence.dtype)
        return ConsistencyTerms(mask * ce(targets, strong), mask, targets), memory
