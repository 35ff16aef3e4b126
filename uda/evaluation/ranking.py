"""What to label next: pure functions of probabilities and features, no files.

Three questions are asked of every unlabelled image: is the model unsure of it, may it
be of a rare class, does it look unlike anything labelled? A third of the suggestions
answers each, and among the best answers those far from each other are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from uda.rng import generator

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Reason = Literal["unsure", "rare", "novel"]
Choice = tuple[int, Reason]  # place and why

REASONS: tuple[Reason, ...] = ("unsure", "rare", "novel")
# A reason is given above this score alone.
_LEAST: dict[Reason, float] = {"unsure": 0.0, "rare": 0.1, "novel": 1.0}
NUM_DIRECTIONS = 16
NEIGHBOUR = 3
# Of so many times the images still wanted, the one farthest from all chosen is taken.
CHOICE = 2
_LIMIT = 3.0  # a feature further out than this many deviations says "odd", not how odd
_ROWS = 512  # at once: 10,000 x 10,000 distances would need 0.8 GB
_TINY = 1e-9


@dataclass(frozen=True)
class Scores:
    """What is asked of each image; more is more worth a label.

    Attributes:
        uncertainty: (N,) 0 to 1, see `uncertainty`.
        rarity: (N,) 0 to 1, see `rarity`.
        novelty: (N,) from 0, see `novelty`.
    """

    uncertainty: Floats
    rarity: Floats
    novelty: Floats

    def of(self, reason: Reason) -> Floats:
        """Return the (N,) scores that a reason goes by."""
        by_reason = (self.uncertainty, self.rarity, self.novelty)
        return by_reason[REASONS.index(reason)]

    def worth(self, reason: Reason) -> Bools:
        """Return (N,) which images the reason can be given for at all.

        Novelty at 1 and below is none: something labelled is as near as its likes.
        """
        return self.of(reason) > _LEAST[reason]


def uncertainty(probs: npt.NDArray[Any]) -> Floats:
    """Return (N,) 1 - (first - second) of the two largest of (N, C) probabilities.

    Margin sampling: Scheffer et al., "Active hidden Markov models for information
    extraction", IDA 2001.
    """
    top = np.sort(np.asarray(probs, dtype=np.float64), axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]))


def rare_weights(counts: npt.ArrayLike, probs: npt.NDArray[Any]) -> Floats:
    """Return (C,) how rare each class is, 0 (half an even share or more) to 1.

    w_c = max(0, 1 - 2 C min(l_c, u_c)), where l_c is the class's share of the labels
    and u_c its estimated share of the pile, the mean of its probabilities: a class is
    rare where one of them is less than half of an even share.

    Args:
        counts: (C,) labelled images of each class.
        probs: (N, C) of the pile.
    """
    labels = np.asarray(counts, dtype=np.float64)
    labeled = labels / max(float(labels.sum()), 1.0)
    piled = np.asarray(probs, dtype=np.float64).mean(axis=0)
    rarer = np.minimum(labeled, piled)
    return np.asarray(np.maximum(0.0, 1.0 - 2 * labels.size * rarer))


def rarity(probs: npt.NDArray[Any], weights: Floats) -> Floats:
    """Return (N,) the probability mass of rare classes: sum over c of p_c w_c."""
    return np.asarray(np.asarray(probs, dtype=np.float64) @ weights)


def directions(
    pile: npt.NDArray[Any], labeled: npt.NDArray[Any], num: int = NUM_DIRECTIONS
) -> tuple[Floats, Floats]:
    """Bring features to the directions in which the pile varies most.

    Each feature is standardised by the pile, held to 3 deviations, and projected on
    the pile's first principal components, which leaves noise of single features out.

    Args:
        pile: (N, F) features.
        labeled: (L, F) features.
        num: D, at most min(N, F).

    Returns:
        (N, D) and (L, D).
    """
    table = np.asarray(pile, dtype=np.float64)
    mean, spread = table.mean(axis=0), table.std(axis=0)
    spread[spread < 1e-8] = 1.0

    def standard(features: npt.NDArray[Any]) -> Floats:
        unit = (np.asarray(features, dtype=np.float64) - mean) / spread
        return np.asarray(np.clip(unit, -_LIMIT, _LIMIT))

    mine = standard(table)
    centre = mine.mean(axis=0)
    _, _, axes = np.linalg.svd(mine - centre, full_matrices=False)
    axes = axes[:num].T
    return (mine - centre) @ axes, (standard(labeled) - centre) @ axes


def novelty(pile: Floats, labeled: Floats, kin: Mapping[int, Sequence[int]]) -> Floats:
    """Return (N,) how much farther an image is from labels than from its own likes.

    distance to the nearest labelled image / distance to the third nearest image of
    the pile. Above 1 where a kind of image repeats in the pile and has no label near;
    an outlier without likes is far from both.

    Args:
        pile: (N, D) from `directions`.
        labeled: (L, D), L at least 1.
        kin: places in the pile that show the same thing as a place: copies and crops
            of one photo are no likes.
    """
    found = np.ones(len(pile))
    for start in range(0, len(pile), _ROWS):
        rows = range(start, min(start + _ROWS, len(pile)))
        away = _distances(pile[start : rows.stop], labeled).min(axis=1)
        likes = _distances(pile[start : rows.stop], pile)
        for i in rows:
            likes[i - start, [i, *kin.get(i, ())]] = np.inf
        for i in rows:
            near = np.sort(likes[i - start])[:NEIGHBOUR]
            near = near[np.isfinite(near)]
            if near.size:
                found[i] = away[i - start] / max(float(near[-1]), _TINY)
    return found


def choose(
    scores: Scores,
    points: Floats,
    budget: int,
    *,
    kin: Mapping[int, Sequence[int]],
    out: Bools,
    reasons: Sequence[Reason] = REASONS,
    seed: int = 0,
) -> list[Choice]:
    """Choose images for each reason in turn, none of them alike.

    A reason that still wants r images looks at its 2r best and takes the one farthest
    from all that are chosen (greedy k-center: Sener and Savarese, "Active learning for
    convolutional neural networks: a core-set approach", ICLR 2018). What shows the
    same thing as a chosen image is out from then on. What one reason leaves
    unfilled goes to the others.

    Args:
        scores: of the N images.
        points: (N, D) for distances.
        budget: images wanted.
        kin: places that show the same thing as a place.
        out: (N,) which images may not be chosen.
        reasons: to choose for; each gets an equal share of the budget.
        seed: decides between equal scores.

    Returns:
        (place, reason), the best of each reason first; fewer than the budget where no
        more are free.
    """
    free = ~out
    ties = generator(seed, "suggest").permutation(len(points))
    ranked = {
        reason: np.lexsort((ties, -scores.of(reason)))[: int(worth.sum())]
        for reason in REASONS
        if reason in reasons and (worth := scores.worth(reason)).any()
    }
    wanted = _quotas(budget, len(ranked))
    nearest = np.full(len(points), np.inf)
    chosen: list[Choice] = []
    while len(chosen) < budget:
        before = len(chosen)
        for number, (reason, order) in enumerate(ranked.items()):
            best = order[free[order]]
            if not best.size or len(chosen) == budget:
                continue
            best = best[: CHOICE * max(1, wanted[number])]
            place = int(best[np.argmax(nearest[best])])
            chosen.append((place, reason))
            wanted[number] -= 1
            free[[place, *kin.get(place, ())]] = False
            nearest = np.minimum(nearest, _distances(points[[place]], points)[0])
        if len(chosen) == before:
            break
    return _in_turn(chosen, scores)


def _in_turn(chosen: list[Choice], scores: Scores) -> list[Choice]:
    """Put what was chosen in order: the best of each reason, the second, and so on."""
    best = sorted(chosen, key=lambda choice: -scores.of(choice[1])[choice[0]])
    ranks: Counter[Reason] = Counter()
    keys = {}
    for place, reason in best:
        keys[place, reason] = (ranks[reason], REASONS.index(reason))
        ranks[reason] += 1
    return sorted(best, key=keys.__getitem__)


def _quotas(budget: int, num: int) -> list[int]:
    return [budget // num + (i < budget % num) for i in range(num)] if num else []


def _distances(some: Floats, others: Floats) -> Floats:
    """Return (n, m) Euclidean distances of (n, D) and (m, D)."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(some, others))
