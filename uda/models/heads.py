"""Classifier heads: from features (B, D) to Outputs, whatever the head's shape.

Losses, thresholds and metrics need ``leaf`` alone; the other fields are there for
heads that decide in several places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Outputs(NamedTuple):
    """What every head returns.

    Attributes:
        leaf: (B, C) logits of the classes; softmax of them gives probabilities.
        nodes: (B, M) logits of a tree's inner decisions, or None.
        auxiliary: (B, C) logits of an auxiliary head, or None.
    """

    leaf: Tensor
    nodes: Tensor | None = None
    auxiliary: Tensor | None = None

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


def log_mean_probs(views: Sequence[Outputs]) -> Outputs:
    """Average the class probabilities of several views of the same images.

    leaf = log(mean over views of softmax(leaf_v)), (B, C): valid logits whose
    softmax is the averaged probability. Other fields are dropped.
    """
    dtype = torch.promote_types(views[0].leaf.dtype, torch.float32)
    logs = torch.stack([view.leaf.to(dtype).log_softmax(1) for view in views])
    return Outputs(leaf=torch.logsumexp(logs, 0) - math.log(len(views)))
