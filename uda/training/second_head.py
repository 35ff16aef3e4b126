"""What an auxiliary head adds to the losses: ABC's, or ACR's.

ACR makes the consistency terms of the first head as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from uda.models.heads import Outputs
from uda.objectives.abc import abc_labeled, abc_unlabeled
from uda.objectives.acr import Acr, BothHeads
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.priors import adjust_logits
from uda.objectives.supervised import cross_entropy
from uda.rng import uniforms
from uda.training.clock import Clock


class HeadTerms(NamedTuple):
    """What a second head says of a batch of unlabelled images.

    Attributes:
        loss: (U,) of each image.
        mask: (U,) how far each counts.
        first: the terms of the first head, where this one makes them too.
    """

    loss: Tensor
    mask: Tensor
    first: ConsistencyTerms | None = None


class SecondHead(Protocol):
    """The losses of an auxiliary head; the weight is its own."""

    def memory(self, shape: Shape) -> Memory:
        """Return what is remembered before the first step."""

    def on_labeled(self, logits: Tensor, labels: Tensor, clock: Clock) -> Tensor:
        """Return the loss of its (B, C) logits, a scalar."""

    def on_unlabeled(
        self,
        weak: Outputs,
        strong: Outputs,
        index: Tensor,
        clock: Clock,
        memory: Memory,
    ) -> tuple[HeadTerms, Memory]:
        """Return its terms on unlabelled images, and what is remembered."""


@dataclass(frozen=True)
class AbcHead:
    """ABC: a head that sees classes evenly, since images are left out by class.

    Attributes:
        seed: of the run.
        drawn: (C,) labelled images per class as they are drawn, in any unit.
        counts: (C,) labelled images per class.
    """

    seed: int
    drawn: Tensor
    counts: Tensor

    def memory(self, shape: Shape) -> Memory:
        """Return nothing: it remembers nothing."""
        return {}

    def on_labeled(self, logits: Tensor, labels: Tensor, clock: Clock) -> Tensor:
        """Return the loss of the labelled images that are drawn."""
        draws = self._draws("labeled", labels, clock.step)
        return abc_labeled(logits, labels, self.drawn, draws)

    def on_unlabeled(
        self,
        weak: Outputs,
        strong: Outputs,
        index: Tensor,
        clock: Clock,
        memory: Memory,
    ) -> tuple[HeadTerms, Memory]:
        """Return the loss of the unlabelled images that are drawn."""
        first, second = both_heads(weak), both_heads(strong)
        terms = abc_unlabeled(
            first.auxiliary,
            second.auxiliary,
            self.counts,
            self._draws("unlabeled", index, clock.step),
            progress=clock.progress,
        )
        return HeadTerms(terms.loss, terms.mask), memory

    def _draws(self, stream: str, beside: Tensor, step: int) -> Tensor:
        """Return a uniform number for each of a batch, beside it on its device."""
        counters = step * len(beside) + np.arange(len(beside))
        found = uniforms(self.seed, f"abc/{stream}", counters, 1)[:, 0]
        return torch.from_numpy(found).to(beside.device, non_blocking=True)


@dataclass(frozen=True)
class AcrHead:
    """ACR: both heads' targets, adjusted by how the unlabelled images seem mixed.

    Attributes:
        method: ACR.
        log_shares: (C,) log of the classes' shares in labelled batches.
    """

    method: Acr
    log_shares: Tensor

    def memory(self, shape: Shape) -> Memory:
        """Return what ACR remembers before the first step."""
        return self.method.memory(shape)

    def on_labeled(self, logits: Tensor, labels: Tensor, clock: Clock) -> Tensor:
        """Return the balanced softmax of the second head."""
        seen = adjust_logits(logits, self.log_shares, tau=self.method.tau)
        return cross_entropy(seen, labels).mean()

    def on_unlabeled(
        self,
        weak: Outputs,
        strong: Outputs,
        index: Tensor,
        clock: Clock,
        memory: Memory,
    ) -> tuple[HeadTerms, Memory]:
        """Return the terms of both heads."""
        leaf, auxiliary, after = self.method(
            both_heads(weak), both_heads(strong), index, memory
        )
        return HeadTerms(auxiliary.loss, auxiliary.mask, leaf), after


def both_heads(outputs: Outputs) -> BothHeads:
    """Return the logits of both heads in full precision."""
    assert outputs.auxiliary is not None  # the network was built with this head
    return BothHeads(outputs.leaf.float(), outputs.auxiliary.float())
