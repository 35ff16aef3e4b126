"""The head of a class tree: one decision per inner node, class log-probabilities out.

With ``Together`` as the backbone each node has a network of its own; both are one
classifier, and everything behind the head sees ``leaf`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uda.models.heads import FlatHead, Outputs
from uda.tree import Tree


class TreeHead(nn.Module):
    """One linear layer and softmax per inner node, multiplied along each path.

        log p(c | x) = sum over the nodes n on the path to c of
                       log softmax(W_n f + b_n)[child of n towards c]

    The sum is a log-probability, so ``leaf`` are valid logits whose softmax is its
    exponential. A tree of depth one is the flat head up to a constant per image.

    Args:
        num_features: D of the backbone; a multiple of M where each node has its own.
        tree: M nodes over C classes.
        own_features: each node reads its own D / M features, in the nodes' order.
        bound: largest initial weight; None for 1/sqrt(children) at each node.
    """

    path: Tensor

    def __init__(
        self,
        num_features: int,
        tree: Tree,
        *,
        own_features: bool = False,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        self.own_features = own_features
        self.sizes = tree.sizes
        width = num_features // len(tree.sizes) if own_features else num_features
        self.nodes = nn.ModuleList(
            FlatHead(width, size, bound=bound) for size in tree.sizes
        )
        # (C, depth) columns of each path, filled up with a column of zeros behind
        # the last: gathering keeps full precision under autocast, a product would not.
        depth, zeros = max(map(len, tree.paths)), sum(tree.sizes)
        rows = [[*path, *[zeros] * (depth - len(path))] for path in tree.paths]
        # Not saved: the tree in the model's description says it.
        self.register_buffer("path", torch.tensor(rows), persistent=False)

    def forward(self, features: Tensor) -> Outputs:
        """Map features (B, D) to leaf (B, C) and nodes (B, sum of children)."""
        parts: Sequence[Tensor] = [features] * len(self.nodes)
        if self.own_features:
            parts = features.chunk(len(self.nodes), dim=1)
        logits = [node(part).leaf for node, part in zip(self.nodes, parts, strict=True)]
        dtype = torch.promote_types(features.dtype, torch.float32)
        steps = [one.to(dtype).log_softmax(1) for one in logits]
        padded = torch.cat([*steps, torch.zeros_like(steps[0][:, :1])], 1)
        leaf = padded[:, self.path].sum(2)
        return Outputs(leaf=leaf, nodes=torch.cat(logits, 1))


class Together(nn.Module):
    """Several backbones on the same images, their features side by side.

    Args:
        backbones: each with ``num_features`` D.

    Attributes:
        num_features: the sum of their D.
    """

    def __init__(self, backbones: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        widths: list[int] = [int(b.num_features) for b in backbones]  # type: ignore[arg-type]
        self.num_features = sum(widths)
        self.weight_report = getattr(backbones[0], "weight_report", None)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, K, H, W) to features (B, M D)."""
        return torch.cat([backbone(images) for backbone in self.backbones], 1)
