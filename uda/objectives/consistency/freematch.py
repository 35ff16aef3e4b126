"""FreeMatch: thresholds that follow the network's own mean confidence.

Source: Wang et al., "FreeMatch: Self-adaptive Thresholding", ICLR 2023; USB.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of, has_opinion
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Shape,
    moving_mean,
)
from uda.objectives.consistency.targets import hard
from uda.objectives.precision import full_precision


@dataclass(frozen=True)
class FreeMatch:
    """threshold_c = τ p̃_c / max p̃; τ, p̃, h̃ are moving averages, this batch included.

    τ of the confidence, p̃ of the probabilities, h̃ of the predicted classes. The
    fairness penalty λ Σ_c norm(p̃ / h̃)_c log norm(p̄ / h)_c asks the kept strong
    predictions (mean p̄, histogram h) to be as diverse as the weak ones. Images that
    nobody has an opinion on (``gates.has_opinion``) count nowhere.

    Attributes:
        momentum: of the moving averages; published for a million steps.
        fairness: λ.
        cap: τ does not exceed it; None for no cap.
    """

    momentum: float = 0.999
    fairness: float = 0.001
    cap: float | None = None

    def memory(self, shape: Shape) -> Memory:
        """Return the averages as uninformed: 1/C everywhere."""
        even = torch.full(
            (shape.num_classes,), 1 / shape.num_classes, dtype=torch.float64
        ).to(shape.device)
        return {"confidence": even[0].clone(), "probs": even, "histogram": even.clone()}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step."""
        targets, confidence = hard(weak), confidence_of(weak)
        probs, told = full_precision(weak.detach()).softmax(1), has_opinion(weak)
        seen = {"confidence": confidence, "probs": probs, "histogram": targets}
        after = {
            name: moving_mean(memory[name], values, told, self.momentum)
            for name, values in seen.items()
        }
        if self.cap is not None:
            after["confidence"] = after["confidence"].clamp(max=self.cap)
        limits = after["confidence"] * after["probs"] / after["probs"].max()
        chosen = weak.detach().argmax(1)
        sure = confidence >= limits.to(confidence)[chosen]
        mask = (sure & told).to(confidence.dtype)
        penalty = self.fairness * _fairness(strong, mask, after)
        terms = ConsistencyTerms(mask * ce(targets, strong), mask, targets, penalty)
        return terms, after


def _fairness(strong: Tensor, mask: Tensor, averages: Memory) -> Tensor:
    """Return Σ_c norm(p̃ / h̃)_c · log norm(p̄ / h)_c; 0 where nothing is kept."""
    probs = full_precision(strong).softmax(1)
    kept = mask.sum()
    share = mask / kept.clamp(min=1)
    mean = (share[:, None] * probs).sum(0)
    histogram = (
        share[:, None] * F.one_hot(probs.detach().argmax(1), probs.shape[1])
    ).sum(0)
    wanted = _ratio(averages["probs"].to(probs), averages["histogram"].to(probs))
    found = _ratio(mean, histogram)
    penalty = (wanted * torch.log(found + 1e-12)).sum()
    return torch.where(kept > 0, penalty, torch.zeros_like(penalty))


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Return above / below, normalised; 0 where below is 0."""
    ratio = torch.where(below > 0, above / below.clamp(min=1e-30), 0.0)
    return ratio / ratio.sum().clamp(min=1e-30)
