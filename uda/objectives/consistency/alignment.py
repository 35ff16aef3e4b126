"""Distribution alignment: predictions nudged towards a prior that somebody stated.

The prior is that of the unlabelled images: known from the plant's reject rate, or
estimated (``objectives.priors``). The labelled counts are no substitute where rare
defects were collected on purpose, and uniform is what no line makes.
Source: Berthelot et al., "ReMixMatch", ICLR 2020; smoothing as in USB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from uda.objectives.consistency.gates import has_opinion
from uda.objectives.consistency.method import (
    ConsistencyTerms,
    Memory,
    Method,
    Shape,
    moving_mean,
)
from uda.objectives.constants import constant
from uda.objectives.hierarchy import conditionals, undecided_kept
from uda.objectives.precision import full_precision
from uda.tree import Tree

_SMOOTHING = 1e-6


def aligned(probs: Tensor, mean: Tensor, prior: Tensor) -> Tensor:
    """Return p_c (π_c + ε) / (p̃_c + ε), each row normalised to one.

    Args:
        probs: (U, C) probabilities.
        mean: (C,) mean prediction p̃.
        prior: (C,) wanted shares π.

    Returns:
        (U, C) probabilities.
    """
    mass = probs * ((prior + _SMOOTHING) / (mean + _SMOOTHING)).to(probs)
    return mass / mass.sum(1, keepdim=True)


@dataclass(frozen=True)
class Aligned:
    """Any method, on weak predictions aligned to a prior.

    p̃ is a moving average of the weak predictions, this batch included; the first
    batch counts in full. Two kinds of images are left out of it and stay as they are:
    those that nobody has an opinion on (``gates.has_opinion``), since their uniform
    rows would pull p̃ towards uniform and a prior would make sure answers of them; and
    labelled ones among the unlabelled, since the prior is not of them. Images with a
    pseudo-label of their own are of the pile and count, but keep it as well.

    Attributes:
        method: the method that gets aligned logits.
        prior: (C,) shares of the classes among the unlabelled images.
        momentum: of the moving average; published for a million steps.
        tree: of the classes, or None; a node without an opinion keeps having none.
        labeled: (N,) bool by pool row, on the device of the steps; None for no row.
        known: (N,) bool likewise: whose targets are labels or pseudo-labels.
    """

    method: Method
    prior: tuple[float, ...]
    momentum: float = 0.999
    tree: Tree | None = None
    labeled: Tensor | None = field(default=None, compare=False, repr=False)
    known: Tensor | None = field(default=None, compare=False, repr=False)

    def memory(self, shape: Shape) -> Memory:
        """Return the method's memory and a mean prediction not known yet."""
        mean = torch.zeros(shape.num_classes, dtype=torch.float64, device=shape.device)
        return {"alignment": mean, **self.method.memory(shape)}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of the method on aligned logits."""
        plain = full_precision(weak.detach())
        probs, counted = plain.softmax(1), has_opinion(weak)
        if self.labeled is not None:
            counted = counted & ~self.labeled[index.to(self.labeled.device)]
        old = memory["alignment"]
        # The first batch that says something counts in full.
        momentum = self.momentum * (old.sum() > 0).to(old.dtype)
        heard = counted
        if self.tree is not None:
            # Undecided at the root is no mix of classes, though their number differs.
            heard = counted & has_opinion(conditionals(plain, self.tree)[0])
        mean = moving_mean(old, probs, heard, momentum)
        prior = constant(self.prior, probs.dtype, probs.device)
        shifted = aligned(probs, mean.to(probs), prior)
        bent = shifted.clamp(min=torch.finfo(shifted.dtype).tiny).log()
        if self.tree is not None:
            bent = undecided_kept(plain, bent, self.tree)
        if self.known is not None:
            counted = counted & ~self.known[index.to(self.known.device)]
        bent = torch.where(counted[:, None], bent, plain)
        inner = {name: value for name, value in memory.items() if name != "alignment"}
        terms, after = self.method(bent, strong, index, inner)
        return terms, {"alignment": mean, **after}
