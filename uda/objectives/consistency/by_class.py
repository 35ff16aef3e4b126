"""Any method, gated by thresholds per class that somebody renews now and then."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.gates import confidence_of
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Method,
    Shape,
)

LIMITS = "class_thresholds"


@dataclass(frozen=True)
class ByClass:
    """mask_i *= 1[max softmax(w_i) > threshold of the class it predicts].

    Attributes:
        method: a method without a gate of its own.
        threshold: for all classes until ``memory["class_thresholds"]`` is renewed.
    """

    method: Method
    threshold: float

    def memory(self, shape: Shape) -> Memory:
        """Return equal thresholds and the method's memory."""
        limits = torch.full((shape.num_classes,), self.threshold, device=shape.device)
        return {LIMITS: limits, **self.method.memory(shape)}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the gated terms of the method."""
        inner = {name: value for name, value in memory.items() if name != LIMITS}
        terms, after = self.method(weak, strong, index, inner)
        limits = memory[LIMITS].to(terms.loss)
        sure = confidence_of(weak) > limits[weak.detach().argmax(1)]
        gate = sure.to(terms.loss.dtype)
        gated = terms._replace(loss=gate * terms.loss, mask=gate * terms.mask)
        return gated, {LIMITS: memory[LIMITS], **after}
