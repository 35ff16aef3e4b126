"""FlexMatch: a threshold per class, lower where less has been learnt so far.

Under imbalance it turns against itself: a class that is rare gets few pseudo-labels,
so its threshold falls (to 0.05 at a tenth of the commonest class), and everything
that looks a little like it is taken for it. A floor is ours, off by default.
Source: Zhang et al., "FlexMatch", NeurIPS 2021; TorchSSL/TorchSSL, flexmatch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import hard

_UNUSED, _FOREIGN = -1, -2


@dataclass(frozen=True)
class FlexMatch:
    """threshold_c = τ β_c / (2 - β_c), β_c = σ_c / max(max σ, images never sure).

    σ_c counts the unlabelled images whose last prediction at or above τ was c. At
    the first step all thresholds are 0, as published.

    Attributes:
        threshold: τ.
        floor: no threshold falls below it.
    """

    threshold: float = 0.95
    floor: float = 0.0

    def memory(self, shape: Shape) -> Memory:
        """Return (N,) last sure class: -1 none yet, -2 not an unlabelled image."""
        last = torch.full((shape.num_rows,), _FOREIGN, dtype=torch.int64)
        last[shape.rows.cpu()] = _UNUSED
        return {"last_sure": last.to(shape.device)}

    def thresholds(self, memory: Memory, num_classes: int) -> Tensor:
        """Return (C,) float64 thresholds."""
        last = memory["last_sure"]
        classes = torch.arange(num_classes, device=last.device)
        counts = (last[None, :] == classes[:, None]).sum(1)
        most = torch.maximum(counts.max(), (last == _UNUSED).sum()).clamp(min=1)
        learnt = counts.double() / most
        return (self.threshold * learnt / (2 - learnt)).clamp(min=self.floor)

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step; its own sure images count from the next on."""
        targets, confidence = hard(weak), confidence_of(weak)
        chosen = weak.detach().argmax(1)
        limits = self.thresholds(memory, weak.shape[1]).to(confidence)
        mask = (confidence >= limits[chosen]).to(confidence.dtype)
        terms = ConsistencyTerms(mask * ce(targets, strong), mask, targets)
        last = memory["last_sure"].clone()
        index = index.to(last.device)
        last[index] = torch.where(confidence >= self.threshold, chosen, last[index])
        return terms, {"last_sure": last}
