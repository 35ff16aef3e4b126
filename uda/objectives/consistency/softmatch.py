"""SoftMatch: no threshold, a weight that falls off like a Gaussian below the mean.

Source: Chen et al., "SoftMatch", ICLR 2023; USB. The published code takes the
weight from probabilities aligned to a uniform prior. Here they are aligned to the
prior that the user states, and not at all where none is stated: defects are not
uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.alignment import aligned
from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Shape,
    moving,
)
from uda.objectives.consistency.targets import hard
from uda.objectives.precision import full_precision


@dataclass(frozen=True)
class SoftMatch:
    """weight_i = exp(-n² min(max p_i - μ, 0)² / (2 σ²)), p aligned where a prior is.

    μ and σ² are moving averages of mean and unbiased variance of max p, this batch
    included; the pseudo-label is that of the raw logits.

    Attributes:
        momentum: of the moving averages.
        narrowing: n; 2 quarters the variance.
        prior: (C,) shares to align to, or None.
    """

    momentum: float = 0.999
    narrowing: float = 2.0
    prior: tuple[float, ...] | None = None

    def memory(self, shape: Shape) -> Memory:
        """Return μ = 1/C, σ² = 1, and a mean prediction that is not known yet."""
        num = shape.num_classes
        start = {
            "mean": torch.tensor(1 / num, dtype=torch.float64),
            "variance": torch.tensor(1.0, dtype=torch.float64),
        }
        if self.prior is not None:
            start["probs"] = torch.zeros(num, dtype=torch.float64)
        return {name: value.to(shape.device) for name, value in start.items()}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        probs = full_precision(weak.detach()).softmax(1)
        after = {}
        if self.prior is not None:
            after["probs"] = _first_or_moving(memory["probs"], probs, self.momentum)
            prior = torch.tensor(self.prior).to(probs)
            probs = aligned(probs, after["probs"].to(probs), prior)
        confidence = probs.amax(1)
        spread = confidence.var() if len(confidence) > 1 else confidence.new_zeros(())
        after["mean"] = moving(memory["mean"], confidence.mean(), self.momentum)
        after["variance"] = moving(memory["variance"], spread, self.momentum)
        below = (confidence - after["mean"].to(confidence)).clamp(max=0)
        variance = after["variance"].to(confidence).clamp(min=1e-12)
        weight = torch.exp(-(below**2) * self.narrowing**2 / (2 * variance))
        targets = hard(weak)
        return ConsistencyTerms(weight * ce(targets, strong), weight, targets), after


def _first_or_moving(old: Tensor, probs: Tensor, momentum: float) -> Tensor:
    """Return the moving mean prediction; the first batch counts in full."""
    mean = probs.mean(0).to(old)
    return torch.where(old.sum() > 0, moving(old, mean, momentum), mean)
