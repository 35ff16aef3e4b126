"""UDA or FixMatch at every node of a class tree: separate masks for each decision.

"Is it a defect" may be sure where "which one" is not: the first then learns from the
image, the second waits. Source of the split: uda's own, after the two-level form of
hierarchical semi-supervised learning (Su & Maji, "Semi-supervised learning with
taxonomic labels", BMVC 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uda.objectives.consistency.fixmatch import FixMatch
from uda.objectives.consistency.gates import has_opinion
from uda.objectives.consistency.method import ConsistencyTerms, Memory, Shape
from uda.objectives.consistency.targets import hard
from uda.objectives.consistency.uda import Uda
from uda.objectives.hierarchy import compose, conditionals, reach
from uda.tree import Tree


@dataclass(frozen=True)
class TreeConsistency:
    """loss_i = sum over nodes n of r_in · loss of the method on p(. | n, image i).

    r_in is the weak view's probability of reaching n, without gradient. Target, gate
    and divergence of each node are the method's, on the node's own decision; children
    that are all alike are no decision, whatever the gate. For a tree of depth one it
    is the method itself.

    Attributes:
        method: of each decision; it remembers nothing.
        tree: M nodes over C classes.
    """

    method: Uda | FixMatch
    tree: Tree

    def memory(self, shape: Shape) -> Memory:
        """Return what there is to remember before the first step: nothing."""
        return {}

    def __call__(
        self, weak: Tensor, strong: Tensor, index: Tensor, memory: Memory
    ) -> tuple[ConsistencyTerms, Memory]:
        """Return the terms of one step.

        The mask of an image is the share of the decisions it takes part in that are
        sure enough; its targets are the classes' probabilities, put together from
        the nodes' targets. It is a pseudo-label of the class that its decisions lead
        to, if all of them on the way are sure enough.
        """
        weak = weak.detach()
        reached = reach(weak, self.tree)
        decisions = conditionals(weak, self.tree)
        terms = [
            self.method(one, other, index, {})[0]
            for one, other in zip(
                decisions, conditionals(strong, self.tree), strict=True
            )
        ]
        told = torch.stack([has_opinion(step) for step in decisions], 1).to(reached)
        masks = told * torch.stack([term.mask for term in terms], 1)
        losses = told * torch.stack([term.loss for term in terms], 1)
        kept = reached * masks
        ways = [
            (hard(step) * mask[:, None]).log()
            for step, mask in zip(decisions, masks.unbind(1), strict=True)
        ]
        found = ConsistencyTerms(
            loss=(reached * losses).sum(1),
            mask=kept.sum(1) / reached.sum(1),
            targets=compose([term.targets.log() for term in terms], self.tree).exp(),
            by_node=dict(
                zip(
                    self.tree.nodes,
                    zip(reached.unbind(1), kept.unbind(1), strict=True),
                    strict=True,
                )
            ),
            named=compose(ways, self.tree).exp(),
        )
        return found, memory
