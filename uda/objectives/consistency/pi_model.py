"""Pi-model and Mean Teacher: equal probabilities, whatever their confidence.

They differ in who makes the target: the live network (Pi-model) or the averaged
one (Mean Teacher, ``weak_pass="ema"``). Gradient flows through one side alone.
Sources: Laine & Aila, "Temporal Ensembling", ICLR 2017; Tarvainen & Valpola,
"Mean teachers are better role models", NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.divergences import mse
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import sharpen


@dataclass(frozen=True)
class MeanSquare:
    """loss_i = mean over classes of (softmax(w_i) - softmax(s_i))²; all count."""

    def memory(self, shape: Shape) -> Memory:
        """Return what there is to remember before the first step: nothing."""
        return {}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        targets = sharpen(weak, None)
        loss = mse(targets, strong)
        return ConsistencyTerms(loss, torch.ones_like(loss), targets), memory
