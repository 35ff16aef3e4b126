"""Classifier heads: from features (B, D) to Outputs, whatever the head's shape.

Losses, thresholds and metrics need ``leaf`` alone; the other fields are there for
heads that decide in several places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uda.models.links import Link, mean_logits


class Outputs(NamedTuple):
    """What every head returns.

    Attributes:
        leaf: (B, C) logits of the classes; softmax of them gives probabilities, or
            sigmoid where an image may have several labels (``links``).
        nodes: (B, M) logits of a tree's inner decisions, or None.
        auxiliary: (B, C) logits of an auxiliary head, or None.
    """

    leaf: Tensor
    nodes: Tensor | None = None
    auxiliary: Tensor | None = None

    @property
    def served(self) -> Tensor:
        """The (B, C) logits that decide: the auxiliary head's where there is one."""
        return self.leaf if self.auxiliary is None else self.auxiliary

    def split(self, sizes: Sequence[int]) -> list[Outputs]:
        """Cut a batch of outputs into consecutive parts of the given sizes."""
        columns = [
            [None] * len(sizes) if field is None else torch.split(field, list(sizes))
            for field in self
        ]
        return [Outputs(*part) for part in zip(*columns, strict=True)]


class FlatHead(nn.Module):
    """One linear layer from features to class logits.

    Weights start uniform in ±``bound``, biases at zero. The default bound is
    1/sqrt(C), as in google-research/uda (image/randaugment/custom_ops.py).

    Args:
        num_features: D.
        num_classes: C.
        bound: largest initial weight; None for 1/sqrt(C).
    """

    def __init__(
        self, num_features: int, num_classes: int, *, bound: float | None = None
    ) -> None:
        super().__init__()
        limit = num_classes**-0.5 if bound is None else bound
        self.linear = nn.Linear(num_features, num_classes)
        nn.init.uniform_(self.linear.weight, -limit, limit)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Outputs:
        """Map features (B, D) to Outputs with leaf (B, C)."""
        return Outputs(leaf=self.linear(features))


class CosineHead(nn.Module):
    """Scaled cosines between features and one direction per class, without bias.

    Margins (LDAM) are meant for it: no class can win by longer weights.

    Args:
        num_features: D.
        num_classes: C.
        scale: logit of a perfect match; 30 in kaidic/LDAM-DRW.
    """

    def __init__(
        self, num_features: int, num_classes: int, *, scale: float = 30.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        nn.init.normal_(self.weight)

    def forward(self, features: Tensor) -> Outputs:
        """Map features (B, D) to Outputs with leaf (B, C) in ±scale."""
        directions = nn.functional.normalize(self.weight, dim=1)
        cosines = nn.functional.normalize(features, dim=1) @ directions.T
        return Outputs(leaf=self.scale * cosines)


class BalancedHead(nn.Module):
    """Two linear layers on the same features: one to learn from, one that decides.

    Args:
        num_features: D.
        num_classes: C.
        bound: largest initial weight; None for 1/sqrt(C).
    """

    def __init__(
        self, num_features: int, num_classes: int, *, bound: float | None = None
    ) -> None:
        super().__init__()
        self.leaf = FlatHead(num_features, num_classes, bound=bound)
        self.auxiliary = FlatHead(num_features, num_classes, bound=bound)

    def forward(self, features: Tensor) -> Outputs:
        """Map features (B, D) to Outputs with leaf and auxiliary (B, C)."""
        return Outputs(
            leaf=self.leaf(features).leaf, auxiliary=self.auxiliary(features).leaf
        )


def log_mean_probs(views: Sequence[Outputs], link: Link = "softmax") -> Outputs:
    """Average the class probabilities of several views of the same images.

    leaf = log(mean over views of softmax(leaf_v)), (B, C): valid logits whose
    softmax is the averaged probability; likewise for the auxiliary head, and with
    sigmoid. The nodes of a tree are dropped.
    """
    auxiliary = [view.auxiliary for view in views if view.auxiliary is not None]
    return Outputs(
        leaf=mean_logits([view.leaf for view in views], link),
        auxiliary=mean_logits(auxiliary, link) if auxiliary else None,
    )
