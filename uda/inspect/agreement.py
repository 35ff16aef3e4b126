"""Groups found automatically against groups that are given.

What was missed, what was joined wrongly, how far a split by the found ones leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.inspect.leaks import TEST_SHARE

Int64 = npt.NDArray[np.int64]

_SPLITS = 10


@dataclass(frozen=True)
class Agreement:
    """How found groups agree with given ones.

    Attributes:
        true_pairs: pairs of images with the same given group.
        found_directly: share of them among the proved pairs.
        found_by_group: share of them that lie in one found group.
        proved_pairs: pairs proved; false_directly: share of them across given groups.
        false_by_group: share of all pairs inside found groups that cross given ones.
        leak_random: share of test images whose given group is also in training, after
            a random 70/30 split; leak_found: after a split by the found groups.
        given, found: numbers of groups; largest_found: images in the largest.
    """

    true_pairs: int
    found_directly: float
    found_by_group: float
    proved_pairs: int
    false_directly: float
    false_by_group: float
    leak_random: float
    leak_found: float
    given: int
    found: int
    largest_found: int


def compare_groups(
    given: Sequence[str | None],
    found: Int64,
    pairs: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
) -> Agreement:
    """Compare found groups with given ones; images without a given group are left out.

    Args:
        given: (N) given group names.
        found: (N,) found group numbers.
        pairs: proved pairs of positions.
        seed: of the ten splits that leaks are averaged over.
    """
    rows = np.array([i for i, name in enumerate(given) if name is not None], np.int64)
    names = np.array([str(given[i]) for i in rows])
    truth = np.unique(names, return_inverse=True)[1].astype(np.int64)
    mine = np.unique(found[rows], return_inverse=True)[1].astype(np.int64)
    of = {
        int(position): int(group) for position, group in zip(rows, truth, strict=True)
    }
    same = [of[i] == of[j] for i, j in pairs if i in of and j in of]
    both = _pairs_inside(truth * (int(mine.max(initial=0)) + 1) + mine)
    true_pairs, joined = _pairs_inside(truth), _pairs_inside(mine)
    single = np.arange(len(rows))
    return Agreement(
        true_pairs,
        sum(same) / max(true_pairs, 1),
        both / max(true_pairs, 1),
        len(same),
        1 - sum(same) / len(same) if same else 0.0,
        1 - both / joined if joined else 0.0,
        leak_after(single, truth, seed=seed),
        leak_after(mine, truth, seed=seed),
        int(truth.max(initial=-1)) + 1,
        int(mine.max(initial=-1)) + 1,
        int(np.bincount(mine).max(initial=0)),
    )


def _pairs_inside(groups: Int64) -> int:
    counts = np.unique(groups, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def leak_after(units: Int64, truth: Int64, *, seed: int = 0) -> float:
    """Return the share of test images whose true group is also in training.

    Averaged over ten random 70/30 splits that keep each unit on one side.

    Args:
        units: (N,) what the split keeps together.
        truth: (N,) what really belongs together.
        seed: of the splits.
    """
    shares = []
    for repeat in range(_SPLITS if len(units) else 0):
        generator = rng.generator(seed, "agreement split", repeat)
        order = generator.permutation(int(units.max()) + 1)
        sizes = np.bincount(units, minlength=len(order))[order]
        before = np.cumsum(sizes) - sizes
        in_test = np.zeros(len(order), bool)
        in_test[order[before + sizes / 2 < TEST_SHARE * len(units)]] = True
        test = in_test[units]
        trained = np.zeros(int(truth.max()) + 1, bool)
        trained[truth[~test]] = True
        if test.any():
            shares.append(float(trained[truth[test]].mean()))
    return float(np.mean(shares)) if shares else 0.0
