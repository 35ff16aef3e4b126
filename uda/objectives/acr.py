"""ACR: a balanced second head, and pseudo-labels adjusted by how U seems to be mixed.

Source: Wei & Gan, "Towards Realistic Long-Tailed Semi-Supervised Learning:
Consistency Is All You Need", CVPR 2023; Gank0078/ACR. One strong view here, two
there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from uda.objectives.consistency.divergences import ce
from uda.objectives.consistency.gates import confidence_of, has_opinion
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Shape,
    moving,
)
from uda.objectives.consistency.targets import hard
from uda.objectives.constants import constant
from uda.objectives.precision import full_precision

_SMALLEST = 1e-8


class BothHeads(NamedTuple):
    """Logits (U, C) of the standard head and of the balanced one."""

    leaf: Tensor
    auxiliary: Tensor


@dataclass(frozen=True)
class Acr:
    """Adaptive consistency regulariser.

    Standard head: target argmax(w - τ(t) log π), kept if that or the raw w is sure.
    Balanced head: target argmax(w - τ_max log π), kept if that or the head's own
    weak answer is sure. Its supervised loss is CE(z + τ_max log π).

    An image whose label is known keeps it: nearly sure as it is, a strong imbalance
    would adjust it into the rarest class. Neither it nor an image without an opinion
    says anything of how U is mixed.

    Attributes:
        prior: (C,) shares π of the labelled images as they are drawn.
        threshold: of confidence; equality keeps.
        tau: τ_max.
        momentum: of the histogram of the balanced head's sure answers, as in the
            commands that the released code gives.
        known: (N,) bool by pool row, whose targets are labels; None for no row.
    """

    prior: tuple[float, ...]
    threshold: float = 0.95
    tau: float = 2.0
    momentum: float = 0.99
    known: Tensor | None = field(default=None, compare=False, repr=False)

    def memory(self, shape: Shape) -> Memory:
        """Return an even histogram: nothing is known about the mix of U yet."""
        even = torch.full(
            (shape.num_classes,), 1 / shape.num_classes, dtype=torch.float64
        )
        return {"histogram": even.to(shape.device)}

    def __call__(
        self, weak: BothHeads, strong: BothHeads, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, ConsistencyTerms, Memory]:
        """Return the terms of both heads and what is remembered.

        Args:
            weak: (U, C) logits of both heads.
            strong: (U, C) likewise.
            index: (U,) pool rows.
            memory: as `memory` returns.
        """
        prior = constant(self.prior, torch.float64, weak.leaf.device)
        own = confidence_of(weak.auxiliary) >= self.threshold
        guessed = torch.ones_like(own)
        if self.known is not None:
            guessed = ~self.known[index.to(self.known.device)]
        told = own & guessed & has_opinion(weak.leaf)
        histogram = self._watch(weak.auxiliary, told, memory["histogram"])
        log_prior = prior.log().to(full_precision(weak.leaf)) * guessed[:, None]
        tau = self.tau * distance_share(histogram, prior.to(histogram))
        raw = confidence_of(weak.leaf) >= self.threshold
        plain = full_precision(weak.leaf.detach())
        leaf = plain - tau.to(plain) * log_prior
        balanced = plain - self.tau * log_prior
        return (
            self._terms(leaf, strong.leaf, raw),
            self._terms(balanced, strong.auxiliary, own),
            {"histogram": histogram},
        )

    def _terms(self, weak: Tensor, strong: Tensor, sure: Tensor) -> ConsistencyTerms:
        targets = hard(weak)
        mask = (sure | (confidence_of(weak) >= self.threshold)).to(targets.dtype)
        return ConsistencyTerms(mask * ce(targets, strong), mask, targets)

    def _watch(self, logits: Tensor, sure: Tensor, old: Tensor) -> Tensor:
        """Return the histogram of sure answers with this batch's."""
        chosen = logits.detach().argmax(1)
        counts = F.one_hot(chosen, logits.shape[1]).to(old) * sure[:, None]
        total = counts.sum()
        new = counts.sum(0) / total.clamp(min=1)
        return torch.where(total > 0, moving(old, new, self.momentum), old)


def distance_share(histogram: Tensor, prior: Tensor) -> Tensor:
    """Return softmax(distances)[to the labelled prior], in 0..1.

    Distances are symmetrised KL divergences of the histogram to three anchors: the
    labelled prior, uniform, and the labelled prior reversed (the commonest class as
    rare as the rarest). Far from the labelled prior means close to 1.

    Args:
        histogram: (C,) shares of sure answers.
        prior: (C,) labelled prior.
    """
    order = prior.argsort()
    reverse = torch.empty_like(prior)
    reverse[order] = prior.sort(descending=True).values
    anchors = (prior, torch.full_like(prior, 1 / len(prior)), reverse)
    distances = torch.stack([_symmetric_kl(histogram, a) for a in anchors])
    return distances.softmax(0)[0]


def _symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    p, q = full_precision(first) + _SMALLEST, full_precision(second) + _SMALLEST
    p, q = p / p.sum(), q / q.sum()
    return 0.5 * ((p - q) * (p.log() - q.log())).sum()
