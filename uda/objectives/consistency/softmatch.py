"""SoftMatch: no threshold, a weight that falls off like a Gaussian below the mean.

Source: Chen et al., "SoftMatch", ICLR 2023; USB. The published code takes the
weight from probabilities aligned to a uniform prior. Here nothing is aligned unless
the user states a prior (``alignment.Aligned``): defects are not uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of, has_opinion
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Shape,
    moving,
    moving_mean,
)
from uda.objectives.consistency.targets import hard


@dataclass(frozen=True)
class SoftMatch:
    """weight_i = exp(-n² min(max p_i - μ, 0)² / (2 σ²)).

    μ and σ² are moving averages of mean and unbiased variance of max p, this batch
    included. Images that nobody has an opinion on (``gates.has_opinion``) are in
    neither.

    Attributes:
        momentum: of the moving averages; published for a million steps.
        narrowing: n; 2 quarters the variance.
    """

    momentum: float = 0.999
    narrowing: float = 2.0

    def memory(self, shape: Shape) -> Memory:
        """Return μ = 1/C and σ² = 1."""
        start = {"mean": 1 / shape.num_classes, "variance": 1.0}
        return {
            name: torch.tensor(value, dtype=torch.float64, device=shape.device)
            for name, value in start.items()
        }

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        confidence, told = confidence_of(weak), has_opinion(weak)
        after = {
            "mean": moving_mean(memory["mean"], confidence, told, self.momentum),
            "variance": self._variance(memory["variance"], confidence, told),
        }
        below = (confidence - after["mean"].to(confidence)).clamp(max=0)
        variance = after["variance"].to(confidence).clamp(min=1e-12)
        weight = torch.exp(-(below**2) * self.narrowing**2 / (2 * variance))
        targets = hard(weak)
        return ConsistencyTerms(weight * ce(targets, strong), weight, targets), after

    def _variance(self, old: Tensor, confidence: Tensor, told: Tensor) -> Tensor:
        """Return the moving variance; fewer than two images tell none."""
        share = told.to(confidence.dtype)
        num = share.sum()
        mean = (share * confidence).sum() / num.clamp(min=1)
        squares = (share * (confidence - mean) ** 2).sum()
        new = moving(old, squares / (num - 1).clamp(min=1), self.momentum)
        return torch.where(num > 1, new, old)
