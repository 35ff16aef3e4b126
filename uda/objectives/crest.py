"""CReST: which pseudo-labels become labels for the next generation.

The commoner a class, the smaller the share of its pseudo-labels that is taken over:
those of rare classes are few but right, those of common ones many and needless.
Source: Wei et al., "CReST: A Class-Rebalancing Self-Training Framework", CVPR 2021;
google-research/crest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.objectives.priors import checked_prior


def crest_shares(counts: Tensor, *, alpha: float = 1 / 3) -> Tensor:
    """Return (C,) shares: the l-th commonest class keeps (n_(C+1-l) / n_1)^α.

    The rarest class keeps all, the commonest (n_min / n_max)^α.

    Args:
        counts: (C,) labelled images per class.
        alpha: α.
    """
    n = counts.to(torch.float64)
    order = n.argsort(descending=True, stable=True)
    shares = torch.empty_like(n)
    shares[order] = (n.sort().values / n.max()) ** alpha
    return shares


def crest_select(probs: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the most confident share of each predicted class.

    Args:
        probs: (N, C) of the unlabelled images.
        shares: (C,) from `crest_shares`.

    Returns:
        (k,) places, ascending, and their (k,) classes. At least one image of every
        predicted class is chosen.
    """
    confidence, classes = probs.max(1)
    chosen = []
    for number in range(probs.shape[1]):
        mine = torch.nonzero(classes == number).squeeze(1)
        # The cube root of 27/1000 is a little more than 0.3: of 10 that is 3, not 4.
        num = int(torch.ceil(torch.round(shares[number] * len(mine), decimals=9)))
        best = confidence[mine].argsort(descending=True, stable=True)[:num]
        chosen.append(mine[best])
    places = torch.cat(chosen).sort().values
    return places, classes[places]


def crest_prior(prior: Tensor, *, generation: int, num_generations: int) -> Tensor:
    """Return CReST+'s prior ∝ π^t, t falling from 1 to 0.5 over the generations."""
    share = generation / max(1, num_generations - 1)
    return checked_prior(checked_prior(prior) ** (1 - 0.5 * share))
