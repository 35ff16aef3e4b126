"""Deal whole units out to folds, each class as evenly as its units allow.

Pure functions on integer arrays; names and files belong to ``folds``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda.data.partition import Ints

# Orders tried, of which the best balanced is taken; fewer where each is long.
_DRAWS = 16
_DRAWN_UNITS = 20_000
_SWEEPS = 30
# Units beyond which exchanges cost more time than they gain balance.
_MOST_UNITS = 500
# What the sizes of whole folds weigh beside one class.
_SIZE_WEIGHT = 0.1
_GAIN = 1e-12


def deal_units(counts: Ints, num_folds: int, rng: np.random.Generator) -> Ints:
    """Put every unit that has items into one of the folds.

    First no class with two units or more lies in one fold alone, since nothing could
    be learned of it when that is held out; then each class is in as many folds as its
    units allow; then the sum over folds and classes of (n / n of the class)^2 is low,
    so rare classes weigh as much as common ones. Greedy, largest units first, then
    moves and exchanges of single units while that gains; the best of several orders
    wins.

    Args:
        counts: (G, C) items of each unit and class.
        num_folds: K, 2 or more.
        rng: the source of the random orders.

    Returns:
        (G,) fold of each unit; -1 for a unit without items.
    """
    filled = np.flatnonzero(counts.any(axis=1))
    found = np.full(len(counts), -1, dtype=np.int64)
    if filled.size == 0:
        return found
    goal = _Goal.of(counts[filled], num_folds)
    draws = max(1, min(_DRAWS, _DRAWN_UNITS // filled.size))
    tries = [_deal(goal, rng) for _ in range(draws)]
    best = min(tries, key=lambda folds: float(goal.score(goal.table(folds))))
    found[filled] = rng.permutation(num_folds)[best]
    return found


@dataclass(frozen=True)
class _Goal:
    """What a good deal is.

    Attributes:
        rows: (G, C + 1) items of each unit; the last column counts all classes.
        weight: (C + 1,) of the squared counts.
        most: (C + 1,) folds that each class can be in.
        num_folds: K.
    """

    rows: Ints
    weight: npt.NDArray[np.float64]
    most: Ints
    num_folds: int

    @classmethod
    def of(cls, counts: Ints, num_folds: int) -> _Goal:
        rows = np.hstack([counts, counts.sum(axis=1, keepdims=True)])
        weight = 1.0 / np.maximum(rows.sum(axis=0), 1) ** 2.0
        weight[-1] *= _SIZE_WEIGHT
        most = np.minimum((rows > 0).sum(axis=0), num_folds)
        return cls(rows, weight, most, num_folds)

    def table(self, folds: Ints) -> Ints:
        """Return the (K, C + 1) items of each fold."""
        table = np.zeros((self.num_folds, self.rows.shape[1]), dtype=np.int64)
        np.add.at(table, folds, self.rows)
        return table

    def score(self, tables: Ints) -> npt.NDArray[np.float64]:
        """Rate (..., K, C + 1) tables; lower is better."""
        covered = (tables > 0).sum(axis=-2)
        missing = (self.most - covered).sum(axis=-1)
        alone = ((covered == 1) & (self.most > 1)).sum(axis=-1)
        spread = (self.weight * tables.astype(np.float64) ** 2).sum(axis=(-2, -1))
        # Each rung is worth more than all that is below it.
        step = self.rows.shape[1] + 1.0
        rated = spread + step * missing + step * step * self.num_folds * alone
        return np.asarray(rated, dtype=np.float64)

    def scores_with(self, table: Ints, row: Ints) -> npt.NDArray[np.float64]:
        """Return (K,) the score with one more unit in each of the folds."""
        tables = np.repeat(table[None], self.num_folds, axis=0)
        places = np.arange(self.num_folds)
        tables[places, places] += row
        return self.score(tables)


def _deal(goal: _Goal, rng: np.random.Generator) -> Ints:
    """Deal in one random order, largest units first, then improve."""
    shuffled = rng.permutation(len(goal.rows))
    size = (goal.weight * goal.rows.astype(np.float64) ** 2).sum(axis=1)
    order = shuffled[np.argsort(-size[shuffled], kind="stable")]
    folds = np.zeros(len(goal.rows), dtype=np.int64)
    table = np.zeros((goal.num_folds, goal.rows.shape[1]), dtype=np.int64)
    for unit in order.tolist():
        folds[unit] = int(goal.scores_with(table, goal.rows[unit]).argmin())
        table[folds[unit]] += goal.rows[unit]
    for _ in range(_SWEEPS):
        moved = [_move(goal, table, folds, unit) for unit in order.tolist()]
        if not any(moved) and not _exchange(goal, table, folds):
            break
    return folds


def _move(goal: _Goal, table: Ints, folds: Ints, unit: int) -> bool:
    """Put one unit where it fits best; tell whether that gained."""
    row, old = goal.rows[unit], folds[unit]
    table[old] -= row
    scores = goal.scores_with(table, row)
    new = int(scores.argmin())
    gains = bool(scores[new] < scores[old] - _GAIN)
    folds[unit] = new if gains else old
    table[folds[unit]] += row
    return gains


def _exchange(goal: _Goal, table: Ints, folds: Ints) -> bool:
    """Exchange the units of two folds that gain most; tell whether any did.

    The gain is of the spread alone where the sums say so; the score then decides.
    """
    if len(folds) > _MOST_UNITS:
        return False
    rows = goal.rows * np.sqrt(goal.weight)
    scaled = table * np.sqrt(goal.weight)
    own = (rows * scaled[folds]).sum(axis=1)
    cross = rows @ scaled.T  # (G, K)
    # spread after - before, for i into j's fold and j into i's.
    step = cross[:, folds] - own[:, None]
    apart = (rows**2).sum(axis=1)
    change = 2 * (step + step.T + apart[:, None] + apart[None] - 2 * rows @ rows.T)
    change[folds[:, None] == folds[None]] = 0.0
    for pair in np.argsort(change, axis=None)[: len(rows)].tolist():
        first, second = divmod(pair, len(rows))
        if change[first, second] >= -_GAIN:
            return False
        trial = folds.copy()
        trial[[first, second]] = folds[[second, first]]
        moved = goal.table(trial)
        if goal.score(moved) < goal.score(table) - _GAIN:
            folds[:], table[:] = trial, moved
            return True
    return False
