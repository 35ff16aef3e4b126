"""Grouped, stratified folds of a split's labelled images, again and again.

Every labelled image is held out once in each repeat, and what a fold holds out is the
test part of its split. The test part of the split itself is not looked at: its rows
are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from uda.data.dealing import deal_units
from uda.data.manifest import listing, shown
from uda.data.multilabel import NONE, split_text
from uda.data.partition import Bools, Ints, choose_units, connect, count_by_unit
from uda.data.splitfile import EMPTY_SHA256, Split, SplitRow, ordered
from uda.errors import DataError, UsageError
from uda.rng import generator


def fold_splits(
    split: Split,
    *,
    num_folds: int,
    repeat: int = 0,
    seed: int = 0,
    validation: float = 0.15,
    multi_label: bool = False,
) -> tuple[Split, ...]:
    """Divide what a split has labels for into folds of whole groups.

    Rows of ``labeled`` and ``validation`` are dealt out, those of ``test`` dropped.
    Images of one group, equal files, and images that are linked by others stay
    together. Each class is in as many folds as its groups allow.

    Args:
        split: of the data.
        num_folds: K, 2 or more.
        repeat: number of the repeat; each deals anew.
        seed: the seed of all draws.
        validation: share of each class, of what is not held out, 0 to below 1.
        multi_label: labels may name several classes, joined by ``|``.

    Returns:
        K splits. In each, ``test`` is what the fold holds out, ``labeled`` and
        ``validation`` the other folds, and ``unlabeled`` the rows of that part but
        those of a group or content that is held out, or in validation.

    Raises:
        UsageError: fewer than 2 folds, or a share that makes no sense.
        DataError: fewer groups than folds, or a class that no training would see
            while it is held out: all its images are in one group, or its groups hold
            so many other classes that one fold gets them all.
    """
    if num_folds < 2:
        raise UsageError(f"folds: {num_folds} cannot hold anything out; give 2 or more")
    if not 0.0 <= validation < 1.0:
        raise UsageError(f"validation {validation:g}: give a share from 0 to below 1")
    dealt = _Units.of(split, multi_label=multi_label)
    _refuse_too_few(dealt, num_folds)
    rng = generator(seed, "folds/deal", repeat)
    fold_of = deal_units(dealt.counts, num_folds, rng)
    _refuse_lost_classes(dealt, fold_of)
    return tuple(
        _one(dealt, fold_of == fold, validation, seed, repeat * num_folds + fold)
        for fold in range(num_folds)
    )


def fold_notes(
    split: Split, *, num_folds: int, multi_label: bool = False
) -> tuple[str, ...]:
    """Say in words which classes have fewer groups than there are folds."""
    dealt = _Units.of(split, multi_label=multi_label)
    groups = dict(zip(dealt.classes, dealt.groups_per_class.tolist(), strict=True))
    few = {n: count for n, count in groups.items() if count < num_folds}
    if not few:
        return ()
    words = listing([f"{shown(name)} ({count})" for name, count in few.items()])
    return (
        f"fewer groups than the {num_folds} folds: {words}; so not every fold asks for "
        "these classes, and their pooled number rests on few parts",
    )


@dataclass(frozen=True)
class _Units:
    """The rows of a split and what belongs together.

    Attributes:
        rows: (N,) all but the test part.
        unit: (N,) unit of each row.
        labels: (N, C) 1 where a labelled or validation row counts for a class.
        classes: names of the C classes.
        multi_label: whether a row may count for several.
    """

    rows: tuple[SplitRow, ...]
    unit: Ints
    labels: Ints
    classes: tuple[str, ...]
    multi_label: bool

    @classmethod
    def of(cls, split: Split, *, multi_label: bool) -> _Units:
        rows = tuple(row for row in split.rows if row.part != "test")
        named = [_names(row, multi_label=multi_label) for row in rows]
        classes = tuple(sorted({name for names in named for name in names}))
        number = {name: index for index, name in enumerate(classes)}
        labels = np.zeros((len(rows), len(classes)), dtype=np.int64)
        for place, names in enumerate(named):
            labels[place, [number[name] for name in names]] = 1
        unit = connect([_keys(row) for row in rows])
        return cls(rows, unit, labels, classes, multi_label)

    @property
    def counts(self) -> Ints:
        """(G, C) labelled images of each unit and class."""
        shape = (int(self.unit.max(initial=-1)) + 1, len(self.classes))
        return count_by_unit(self.unit, self.labels, shape)

    @property
    def groups_per_class(self) -> Ints:
        """(C,) units that hold each class."""
        return np.asarray((self.counts > 0).sum(axis=0), dtype=np.int64)


def _names(row: SplitRow, *, multi_label: bool) -> Sequence[str]:
    """Return the classes that a row counts for; none outside of labelled parts."""
    if row.part == "unlabeled" or row.label is None:
        return ()
    # An image without any class is evenly dealt, too.
    return (split_text(row.label) or (NONE,)) if multi_label else (row.label,)


def _keys(row: SplitRow) -> list[tuple[str, str]]:
    keys = [("path", row.path)]
    if row.group is not None:
        keys.append(("group", row.group))
    if row.sha256 and row.sha256 != EMPTY_SHA256:
        keys.append(("content", row.sha256))
    return keys


def _refuse_too_few(dealt: _Units, num_folds: int) -> None:
    groups = int(dealt.counts.any(axis=1).sum())
    if groups < num_folds:
        raise DataError(
            f"{num_folds} folds, but the labelled images are {groups} groups, so a "
            "fold would hold nothing out; take fewer folds, or label images of "
            "further parts"
        )


def _refuse_lost_classes(dealt: _Units, fold_of: Ints) -> None:
    """Refuse a deal in which holding a fold out leaves a class without an image."""
    lost = []
    for place, name in enumerate(dealt.classes):
        folds = np.unique(fold_of[dealt.counts[:, place] > 0])
        bare = dealt.multi_label and name == NONE  # no class to learn
        if folds.size == 1 and not bare:
            num = int(dealt.labels[:, place].sum())
            groups = int(dealt.groups_per_class[place])
            lost.append(f"{shown(name)} ({num} images in {groups} groups)")
    if lost:
        raise DataError(
            f"no fold can hold these classes out and still learn them: {listing(lost)}"
            "; label images of further parts, or leave the class out of the data"
        )


def _one(
    dealt: _Units, held_units: Bools, validation: float, seed: int, counter: int
) -> Split:
    """Return the split of one fold; ``held_units`` (G,) are its test part."""
    counts = dealt.counts
    free = np.where(held_units[:, None], 0, counts)
    keep = np.minimum((free > 0).sum(axis=0), 1)
    chosen = choose_units(
        free,
        validation * free.sum(axis=0),
        keep=keep,
        rng=generator(seed, "folds/validation", counter),
        rarest_first=dealt.multi_label,
    )
    rows = []
    for row, unit in zip(dealt.rows, dealt.unit.tolist(), strict=True):
        if row.part == "unlabeled":
            if not (held_units[unit] or chosen[unit]):
                rows.append(row)
            continue
        inner = "validation" if chosen[unit] else "labeled"
        rows.append(replace(row, part="test" if held_units[unit] else inner))
    return Split(ordered(rows))
