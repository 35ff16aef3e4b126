"""What every consistency method looks like to the training step.

A method is target x gate x divergence. What it remembers between steps is a flat
dictionary of tensors that goes in and comes out, so that methods stay pure and a
resumed run continues to the bit.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Memory = dict[str, Tensor]


class ConsistencyTerms(NamedTuple):
    """What a consistency objective returns.

    Attributes:
        loss: (U,) gated loss per example; its mean over ALL examples is the term.
        mask: (U,) in 0..1, the weight of each example; its mean is the mask rate.
        targets: (U, C) probabilities without gradient.
        penalty: scalar added to the mean, already weighted, or None.
        entries: (U, C) mask by class, where each class decides for itself, or None.
        by_node: for each node of a class tree, by name, two (U,): how far an image
            takes part in its decision, and how much of that is kept; or None.
        named: (U, C) of 0 and 1, the class that an image is a pseudo-label of, where
            it takes several decisions to name one; None where the targets name it.
        head_mask: (U,) mask of the second head, whose loss is in the penalty, or None.
    """

    loss: Tensor
    mask: Tensor
    targets: Tensor
    penalty: Tensor | None = None
    entries: Tensor | None = None
    by_node: dict[str, tuple[Tensor, Tensor]] | None = None
    named: Tensor | None = None
    head_mask: Tensor | None = None


class Shape(NamedTuple):
    """What a memory has to fit.

    Attributes:
        num_classes: C.
        num_rows: N, the rows of the pool.
        rows: (m,) int64 rows of the unlabelled images.
        device: where the steps are computed.
    """

    num_classes: int
    num_rows: int
    rows: Tensor
    device: torch.device


class Method(Protocol):
    """One published method; see the files beside this one."""

    def memory(self, shape: Shape) -> Memory:
        """Return what is remembered before the first step."""
        ...

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step and what is remembered after it.

        Args:
            weak: (U, C) logits of the weak view; no gradient flows into them.
            strong: (U, C) logits of the strong view.
            index: (U,) int64 pool rows of the images.
            memory: from the step before; not changed.
        """
        ...


def moving(old: Tensor, new: Tensor, momentum: float | Tensor) -> Tensor:
    """Return momentum · old + (1 - momentum) · new, without gradient."""
    return momentum * old + (1 - momentum) * new.detach().to(old)


def moving_mean(
    old: Tensor, values: Tensor, counted: Tensor, momentum: float | Tensor
) -> Tensor:
    """Return a moving average with the mean of some rows of a batch.

    Args:
        old: (...) the average so far.
        values: (U, ...) one row for each image.
        counted: (U,) bool, which rows to take; where none, ``old`` stays.
        momentum: of the average.
    """
    share = counted.to(values.dtype) / counted.sum().clamp(min=1)
    new = torch.tensordot(share, values.detach(), dims=1)
    return torch.where(counted.any(), moving(old, new, momentum), old)
