"""Pseudo-Label: the network's own confident answers become labels.

Both views come from the same weak policy (the preset sees to it): there is no
strong augmentation in this method. With one it would be FixMatch.
Source: Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning
Method", ICML 2013 workshop; the confidence threshold as in later comparisons
(Oliver et al., NeurIPS 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import hard


@dataclass(frozen=True)
class PseudoLabel:
    """loss_i = 1[max softmax(w_i) > τ] · CE(argmax w_i, s_i), s a second weak view.

    Attributes:
        threshold: τ.
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
        mask = (confidence > self.threshold).to(confidence.dtype)
        return ConsistencyTerms(mask * ce(targets, strong), mask, targets), memory
