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
    """Count labelled items: (N,) units and labels (-1 = none) -> (G, C)."""
    counts = np.zeros(shape, dtype=np.int64)
    known = labels >= 0
    np.add.at(counts, (units[known], labels[known]), 1)
    return counts


def choose_units(
    counts: Ints,
    wanted: npt.NDArray[np.float64],
    *,
    keep: Ints,
    rng: np.random.Generator,
) -> Bools:
    """Choose whole units so that each class gives about as many items as wanted.

    Greedy over the units in random order: one is taken when that lowers the sum over
    classes of ((taken - wanted) / n)^2, so rare classes weigh as much as common ones;
    the best of several orders wins. Before that, each class that got nothing gets its
    cheapest unit, where ``keep`` allows.

    Args:
        counts: (G, C) items of each unit and class; a unit without items never goes.
        wanted: (C,) items to choose of each class; all 0 chooses nothing.
        keep: (C,) units of each class that must be left.
        rng: the source of the random orders.

    Returns:
        (G,) True where chosen.
    """
    if not wanted.any() or not counts.any():
        return np.zeros(len(counts), dtype=np.bool_)
    filled = np.flatnonzero(counts.any(axis=1))
    draws = max(1, min(_DRAWS, _DRAWN_UNITS // max(1, filled.size)))
    best: tuple[float, Bools] | None = None
    for _ in range(draws):
        draw = _Draw(counts, wanted, keep)
        order = [int(unit) for unit in rng.permutation(filled)]
        draw.fill(order)
        draw.reach_every_class(order)
        if best is None or draw.error() < best[0]:
            best = (draw.error(), draw.chosen)
    if best is None:  # cannot be: draws >= 1
        raise RuntimeError("no draw was made")
    return best[1]


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
