"""Shares of the labels, for a learning curve: nested, by whole groups, per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from uda import rng
from uda.data.splits import Split, SplitRow
from uda.errors import UsageError
from uda.study.request import Planned


def thin(split: Split, share: float, *, seed: int) -> Split:
    """Hide the labels of all but a share of each class's training groups.

    What is hidden goes to the unlabelled images, so that the pile stays what it is.
    A smaller share's groups are among a larger one's. The validation part and what
    the fold holds out stay.

    Args:
        split: of a fold.
        share: over 0 to 1; each class keeps one group at least.
        seed: of the order of the groups.
    """
    rows = split.part("labeled")
    by_class: dict[str, set[str]] = {}
    for row in rows:
        by_class.setdefault(row.label or "", set()).add(_group(row))
    kept: set[tuple[str, str]] = set()
    for place, name in enumerate(sorted(by_class)):
        groups = sorted(by_class[name])
        order = rng.generator(seed, "study/shares", place).permutation(len(groups))
        num = max(1, math.ceil(share * len(groups) - 1e-9))
        kept |= {(name, groups[i]) for i in order[:num].tolist()}
    return Split(
        tuple(
            replace(row, part="unlabeled")
            if row.part == "labeled" and (row.label or "", _group(row)) not in kept
            else row
            for row in split.rows
        )
    )


def _group(row: SplitRow) -> str:
    return row.group or row.path


def curve_plan(planned: Planned, shares: Sequence[float]) -> tuple[Planned, ...]:
    """Return a strategy once for each share, the largest first.

    Raises:
        UsageError: shares that make no curve, or a strategy without models of its own.
    """
    strategy = planned.strategy
    if strategy.of is not None:
        raise UsageError(
            f"--learning-curve: {strategy.name!r} asks the models of {strategy.of!r}; "
            "take that one"
        )
    if len(set(shares)) < 2 or not all(0 < share <= 1 for share in shares):
        raise UsageError(
            "--learning-curve: give two or more shares over 0 to 1, such as 0.25,0.5,1"
        )
    if max(shares) != 1:
        raise UsageError(
            f"--learning-curve: the largest share is {max(shares):g}; add 1, all the "
            "labels, or what twice your labels would be worth cannot be told"
        )
    return tuple(
        replace(planned, strategy=replace(
            strategy, share=share,
            name=f"{strategy.name}, {100 * share:g}% of the labels",
        ))
        for share in sorted(set(shares), reverse=True)
    )  # fmt: skip
