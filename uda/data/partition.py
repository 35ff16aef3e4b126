"""The arithmetic of splits: what must stay together, and fair draws of it.

Pure functions on integer arrays; names, files and notes belong to ``splits``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Draws tried, of which the best balanced is taken; fewer where each is long.
_DRAWS = 32
_DRAWN_UNITS = 20_000
# Exchanges looked at at once, and what one must gain.
_MOST_PAIRS = 4_000_000
_GAIN = 1e-12


def connect(keys: Sequence[Sequence[Hashable]]) -> Ints:
    """Number the units: items that share a key, directly or in a chain, are one.

    Args:
        keys: for each of N items what it is known by (group, content hash).

    Returns:
        (N,) unit numbers, 0 for the first item's unit, in order of appearance.
    """
    parent: list[int] = list(range(len(keys)))

    def find(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, names in enumerate(keys):
        for name in names:
            low, high = sorted((find(first.setdefault(name, item)), find(item)))
            parent[high] = low
    numbers: dict[int, int] = {}
    roots = (find(item) for item in range(len(keys)))
    return np.array([numbers.setdefault(r, len(numbers)) for r in roots], np.int64)


def count_by_unit(units: Ints, labels: Ints, shape: tuple[int, int]) -> Ints:
    """Count labelled items: (N,) units and labels (-1 = none) -> (G, C).

    With several labels per item they are (N, C) of 0 and 1.
    """
    counts = np.zeros(shape, dtype=np.int64)
    if labels.ndim == 2:
        np.add.at(counts, units, labels)
        return counts
    known = labels >= 0
    np.add.at(counts, (units[known], labels[known]), 1)
    return counts


def choose_units(
    counts: Ints,
    wanted: npt.NDArray[np.float64],
    *,
    keep: Ints,
    rng: np.random.Generator,
    rarest_first: bool = False,
) -> Bools:
    """Choose whole units so that each class gives about as many items as wanted.

    Greedy over the units in random order: one is taken when that lowers the sum over
    classes of ((taken - wanted) / n)^2, so rare classes weigh as much as common ones;
    the best of several orders wins. Before that, each class that got nothing gets its
    cheapest unit, where ``keep`` allows.

    Where units count for several classes at once, those that hold the rarest class
    go first: what they bring along can still be evened out by the others (Sechidis,
    Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML 2011).

    Args:
        counts: (G, C) items of each unit and class; a unit without items never goes.
        wanted: (C,) items to choose of each class; all 0 chooses nothing.
        keep: (C,) units of each class that must be left.
        rng: the source of the random orders.
        rarest_first: the random order holds among units with the same rarest class;
            the best choice is then improved by exchanging units.

    Returns:
        (G,) True where chosen.
    """
    if not wanted.any() or not counts.any():
        return np.zeros(len(counts), dtype=np.bool_)
    filled = np.flatnonzero(counts.any(axis=1))
    draws = max(1, min(_DRAWS, _DRAWN_UNITS // max(1, filled.size)))
    best: tuple[float, Bools] | None = None
    rank = _rarity(counts) if rarest_first else np.zeros(len(counts), np.int64)
    for _ in range(draws):
        draw = _Draw(counts, wanted, keep)
        drawn = rng.permutation(filled)
        order = [int(unit) for unit in drawn[np.argsort(rank[drawn], kind="stable")]]
        draw.fill(order)
        draw.reach_every_class(order)
        if best is None or draw.error() < best[0]:
            best = (draw.error(), draw.chosen)
    if best is None:  # cannot be: draws >= 1
        raise RuntimeError("no draw was made")
    return _exchanged(counts, best[1], wanted, keep) if rarest_first else best[1]


def _exchanged(
    counts: Ints, chosen: Bools, wanted: npt.NDArray[np.float64], keep: Ints
) -> Bools:
    """Exchange, add or drop one unit at a time while that lowers the error."""
    # The last row is no unit at all: exchanged for it a unit is dropped, or added.
    rows = np.vstack([counts, np.zeros_like(counts[:1])])
    weight = np.where(
        counts.any(axis=0), 1.0 / np.maximum(counts.sum(axis=0), 1) ** 2, 0
    )
    chosen, nothing = chosen.copy(), len(counts)
    for _ in range(2 * len(counts)):
        inside = np.append(np.flatnonzero(chosen), nothing)
        outside = np.append(np.flatnonzero(~chosen & counts.any(axis=1)), nothing)
        if inside.size * outside.size > _MOST_PAIRS:
            inside = outside = np.array([nothing])
        missing = wanted - counts[chosen].sum(axis=0)
        left, right = missing + rows[inside], rows[outside]
        error = (weight * left**2).sum(axis=1)[:, None] - 2 * (left * weight) @ right.T
        error += (weight * right**2).sum(axis=1)
        error[_breaking(rows, chosen, keep, inside, outside)] = np.inf
        out, into = np.unravel_index(error.argmin(), error.shape)
        if error[out, into] > (weight * missing**2).sum() - _GAIN:
            break
        chosen[inside[out : out + 1][inside[out] < nothing]] = False
        chosen[outside[into : into + 1][outside[into] < nothing]] = True
    return chosen


def _breaking(
    rows: Ints, chosen: Bools, keep: Ints, inside: Ints, outside: Ints
) -> Bools:
    """Return (i, o) which exchanges take the last unit of a class, or too many."""
    has = rows > 0
    held = has[:-1][chosen].sum(axis=0)
    least = np.minimum(held, 1)
    most = np.maximum(held, has.sum(axis=0) - keep)
    broken = np.zeros((inside.size, outside.size), dtype=np.bool_)
    for c in range(rows.shape[1]):
        units = held[c] - has[inside, c][:, None] + has[outside, c].astype(np.int64)
        broken |= (units < least[c]) | (units > most[c])
    return broken


def _rarity(counts: Ints) -> Ints:
    """Return (G,) the place, by rarity, of each unit's rarest class."""
    place = np.argsort(np.argsort(counts.sum(axis=0), kind="stable"), kind="stable")
    ranked = np.where(counts > 0, place, counts.shape[1])
    return np.asarray(ranked.min(axis=1), dtype=np.int64)


class _Draw:
    """One greedy draw in progress."""

    def __init__(
        self, counts: Ints, wanted: npt.NDArray[np.float64], keep: Ints
    ) -> None:
        total = counts.sum(axis=0)
        self.weight = [1.0 / n**2 if n else 0.0 for n in total.tolist()]
        self.missing = wanted.tolist()  # what each class still wants
        self.spare = ((counts > 0).sum(axis=0) - keep).tolist()  # units it can give
        self.parts = [
            [(int(c), int(row[c])) for c in np.flatnonzero(row)] for row in counts
        ]
        self.chosen = np.zeros(len(counts), dtype=np.bool_)
        self.got = [0] * counts.shape[1]

    def cost(self, unit: int) -> float:
        """Change of the error when the unit is taken."""
        return float(
            sum(
                self.weight[c] * n * (n - 2.0 * self.missing[c])
                for c, n in self.parts[unit]
            )
        )

    def error(self) -> float:
        terms = zip(self.weight, self.missing, strict=True)
        return float(sum(w * m * m for w, m in terms))

    def allowed(self, unit: int) -> bool:
        return not self.chosen[unit] and all(
            self.spare[c] > 0 for c, _ in self.parts[unit]
        )

    def take(self, unit: int) -> None:
        self.chosen[unit] = True
        for c, n in self.parts[unit]:
            self.missing[c] -= n
            self.spare[c] -= 1
            self.got[c] += 1

    def fill(self, order: Sequence[int]) -> None:
        for unit in order:
            if self.cost(unit) < 0.0 and self.allowed(unit):
                self.take(unit)

    def reach_every_class(self, order: Sequence[int]) -> None:
        for c in range(len(self.got)):
            if self.got[c] or self.spare[c] <= 0:
                continue
            holders = [u for u in order if any(k == c for k, _ in self.parts[u])]
            fitting = [u for u in holders if self.allowed(u)]
            if fitting:
                self.take(min(fitting, key=self.cost))


def draw_per_class(units: Ints, used: Ints, k: int, rng: np.random.Generator) -> Ints:
    """Draw items of one class from as many units as there are.

    Every unit gives one item before any gives a second; with the same generator a
    larger ``k`` draws the same items and more.

    Args:
        units: (n,) unit of each item.
        used: (n,) how many items its unit has given before.
        k: how many to draw; fewer where there are fewer.
        rng: the source of the random order.

    Returns:
        (min(k, n),) positions in ``units``.
    """
    names, inverse = np.unique(units, return_inverse=True)
    place = rng.permutation(names.size)[inverse]
    shuffled = rng.permutation(units.size)
    turn = used.astype(np.int64).copy()
    seen: dict[int, int] = {}
    for item in shuffled.tolist():
        unit = int(units[item])
        turn[item] += seen.get(unit, 0)
        seen[unit] = seen.get(unit, 0) + 1
    return np.lexsort((place, turn))[: max(k, 0)].astype(np.int64)
