"""The class tree of a run: found, kept with the run, and what it does to labels.

A label number below C is a class; C and more are the nodes below the root, whose
images say less ("defect, type unknown").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uda.data.records import Catalog
from uda.data.treefile import find_tree
from uda.files import atomic_write
from uda.objectives.hierarchy import compose, conditionals, label_table
from uda.run.layout import RunFolder
from uda.training.teacher import agreed
from uda.tree import Tree

if TYPE_CHECKING:
    from uda.training.config import RunConfig

Rows = npt.NDArray[np.int64]
_SURE = 0.99


def class_tree(config: RunConfig, catalog: Catalog) -> Tree | None:
    """Return the tree that a configuration asks for, checked against the labels."""
    model = config.model
    return find_tree(catalog.classes, model.tree, model.good_class)


def own_tree(config: RunConfig, run: RunFolder) -> str | None:
    """Copy the tree's file into the run; return where it is now, or None."""
    if config.model.tree is None:
        return None
    path = run.path / "tree.yaml"
    if not path.exists():
        atomic_write(path, Path(config.model.tree).read_bytes())
    return str(path.resolve())


def drawn_as(targets: Rows, tree: Tree | None) -> Rows:
    """Return (n,) the class that each labelled image is drawn as.

    A class's own images are drawn as that class. Coarse ones are shared out among
    the classes below their node in proportion to these classes' images (highest
    averages, Sainte-Laguë), so that the sampler's prior at every node stays what it
    is without them, whatever its power.

    Args:
        targets: (n,) label numbers.
        tree: of the classes, or None for none.
    """
    if tree is None:
        return targets
    num, found = len(tree.classes), targets.copy()
    counts = np.bincount(targets[targets < num], minlength=num).astype(np.float64)
    for label in range(num, len(tree.below)):
        members = np.array(tree.below[label])
        given = np.zeros(len(members))
        for place in np.flatnonzero(targets == label):
            best = int((counts[members] / (2 * given + 1)).argmax())
            given[best] += 1
            found[place] = members[best]
    return found


def agreed_by_node(table: Tensor, opinion: Tensor, weight: float, tree: Tree) -> Tensor:
    """Average two tables decision by decision, where they decide alike.

    Args:
        table: (N, C) log-probabilities p.
        opinion: (N, C) log-probabilities q of somebody else.
        weight: w of log((1 - w) p + w q) at each node, in (0, 1].
        tree: of the classes.

    Returns:
        (N, C) log-probabilities. Where the two disagree at a node its children are
        all alike: uniform over the classes would call a node of many classes likely.
    """
    pairs = zip(conditionals(table, tree), conditionals(opinion, tree), strict=True)
    return compose([agreed(one, two, weight) for one, two in pairs], tree)


def with_known(table: Tensor, targets: Rows, tree: Tree) -> Tensor:
    """Return (n, C) log-probabilities of labelled images: their label, nearly sure.

    Of a coarse label the classes below it keep the proportions that were predicted.

    Args:
        table: (n, C) log-probabilities as predicted.
        targets: (n,) label numbers.
        tree: of the classes.
    """
    allowed = label_table(tree).to(table.device)[torch.from_numpy(targets)]
    inside = table.masked_fill(~allowed, -torch.inf).softmax(1)
    return (inside * _SURE + (1 - _SURE) / table.shape[1]).log()
