"""Each decision of a class tree by itself.

Of the images whose true class lies below a node, how many went to the right child?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uda.evaluation.estimates import NodeMetrics
from uda.evaluation.metrics import measure
from uda.evaluation.predict import Predictions
from uda.tree import Tree


def node_metrics(
    predictions: Predictions,
    tree: Tree,
    *,
    groups: Sequence[object] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[NodeMetrics, ...]:
    """Measure every node on the images whose true class lies below it.

    A node answers with its most probable child: the classes below each child are
    summed first. So the root may call an image defective that no single defect class
    wins, and its recall may differ from the confusion matrix's. It is the model's own
    answer: a decision rule is about classes and has no say.

    Args:
        predictions: of all classes; images without a true class are left out.
        tree: over the same classes.
        groups: (N,) group of each image; None makes each image its own.
        draws: bootstrap draws.
        seed: of the bootstrap.

    Returns:
        (M,) in the order of the tree's nodes.
    """
    found = []
    for (name, children), members in zip(tree.branches, tree.groups, strict=True):
        below, rows = _at_node(predictions, children, members)
        own = None if groups is None else [groups[row] for row in rows]
        metrics = measure(below, groups=own, draws=draws, seed=seed)
        found.append(
            NodeMetrics(
                name=name,
                classes=tuple(
                    tuple(tree.classes[number] for number in group) for group in members
                ),
                children=metrics.per_class,
                balanced_accuracy=metrics.balanced_accuracy,
            )
        )
    return tuple(found)


def _at_node(
    predictions: Predictions,
    children: Sequence[str],
    members: Sequence[Sequence[int]],
) -> tuple[Predictions, list[int]]:
    """Return a node's decisions on the images below it, and which those are."""
    child_of = np.full(len(predictions.classes) + 1, -1)  # the last is unknown
    for child, group in enumerate(members):
        child_of[list(group)] = child
    targets = child_of[predictions.targets]
    rows = np.flatnonzero(targets >= 0)
    logs = predictions.log_probs[rows].astype(np.float64)
    sums = np.stack(
        [np.logaddexp.reduce(logs[:, list(group)], axis=1) for group in members], axis=1
    )
    total = np.logaddexp.reduce(sums, axis=1)[:, None]
    decided = Predictions(
        ids=[predictions.ids[row] for row in rows],
        targets=targets[rows],
        log_probs=(sums - total).astype(np.float32),
        classes=tuple(children),
    )
    return decided, rows.tolist()
