"""Class logits read through a tree: decisions, reach of a node, coarse labels.

All follow from the class log-probabilities, so any head and any table of targets
will do: a node's decision is the classes below it, summed by child and normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uda.objectives.consistency.gates import has_opinion
from uda.objectives.constants import columns
from uda.objectives.precision import full_precision
from uda.tree import Tree


def conditionals(logits: Tensor, tree: Tree) -> list[Tensor]:
    """Return log p(child | node) for every node of a tree.

    Args:
        logits: (N, C) of the classes; any constant per row may be added.
        tree: M nodes over C classes.

    Returns:
        M tensors (N, children), each row's exponentials sum to 1.
    """
    logits = full_precision(logits)
    return [
        torch.stack([_sum_below(logits, group) for group in groups], 1).log_softmax(1)
        for groups in tree.groups
    ]


def _sum_below(logits: Tensor, group: tuple[int, ...]) -> Tensor:
    if len(group) == 1:
        return logits[:, group[0]]
    return columns(logits, group).logsumexp(1)


def reach(logits: Tensor, tree: Tree) -> Tensor:
    """Return (N, M) probabilities of reaching each node; 1 for the root."""
    probs = full_precision(logits).softmax(1)
    return torch.stack(
        [columns(probs, tree.members[name]).sum(1) for name in tree.nodes], 1
    )


def compose(steps: Sequence[Tensor], tree: Tree) -> Tensor:
    """Return (N, C) class log-probabilities from the decisions of M nodes.

    Args:
        steps: M tensors (N, children) of log p(child | node).
        tree: M nodes over C classes.
    """
    every = torch.cat(list(steps), 1)
    return torch.stack([columns(every, path).sum(1) for path in tree.paths], 1)


def undecided_kept(before: Tensor, after: Tensor, tree: Tree) -> Tensor:
    """Return a bent table in which no decision is made that was none before.

    A prior makes a sure answer of children that were all alike, for want of an
    opinion on them.

    Args:
        before: (N, C) class logits before they were bent.
        after: (N, C) class logits since.
        tree: of the classes.

    Returns:
        (N, C) class log-probabilities: ``after``, but for nodes whose children were
        all alike; there they still are.
    """
    steps = []
    for old, new in zip(
        conditionals(before, tree), conditionals(after, tree), strict=True
    ):
        steps.append(torch.where(has_opinion(old)[:, None], new, old))
    return compose(steps, tree)


def label_table(tree: Tree) -> Tensor:
    """Return (C + M - 1, C) bool: which classes a label of each number allows.

    Numbers below C are classes, the others the nodes below the root (``coarse``).
    """
    table = torch.zeros(len(tree.below), len(tree.classes), dtype=torch.bool)
    for number, group in enumerate(tree.below):
        table[number, list(group)] = True
    return table


def tree_cross_entropy(logits: Tensor, labels: Tensor, allowed: Tensor) -> Tensor:
    """Return -log of the probability of what a label allows: a class, or a node.

        l = -log sum over the classes c below the label of softmax(z)_c

    For a class it is the cross entropy, and that is the sum of the nodes' cross
    entropies along its path. For a node it is the same sum down to that node: what
    is below it gets no gradient.

    Args:
        logits: (B, C).
        labels: (B,) int64 in [0, C + M - 1).
        allowed: from `label_table`.

    Returns:
        (B,) nats, in fp32 or better.
    """
    logs = full_precision(logits).log_softmax(1)
    inside = allowed.to(logs.device)[labels]
    return -logs.masked_fill(~inside, -torch.inf).logsumexp(1)


def label_weights(weights: Tensor, counts: Tensor, tree: Tree) -> Tensor:
    """Return (C + M - 1,) weights: a coarse label weighs as the average image below.

    Args:
        weights: (C,) of the classes.
        counts: (C,) images of the classes.
        tree: M nodes over C classes.
    """
    coarse = []
    for group in tree.below[len(tree.classes) :]:
        own = counts[list(group)].to(weights)
        coarse.append((own * weights[list(group)]).sum() / own.sum())
    return torch.stack([*weights, *coarse])
