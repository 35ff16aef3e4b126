"""Grouped, stratified folds of a split's labelled images, again and again.

Every labelled image is held out once in each repeat, but for those of a group that some
class has no other than. What a fold holds out is the test part of its split. All others
keep the part that they have, so that a fold trains on what the run itself trains on,
less what it holds out. The test part of the split itself is not looked at: its rows are
dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from uda.data.dealing import deal_units
from uda.data.multilabel import NONE, split_text
from uda.data.partition import Bools, Ints, connect, count_by_unit
from uda.data.splitfile import EMPTY_SHA256, Split, SplitRow, ordered
from uda.data.table import listing, shown
from uda.errors import DataError, UsageError
from uda.rng import generator

_INNER = ("labeled", "validation")


def fold_splits(
    split: Split,
    *,
    num_folds: int,
    repeat: int = 0,
    seed: int = 0,
    multi_label: bool = False,
) -> tuple[Split, ...]:
    """Divide what a split has labels for into folds of whole groups.

    Rows of ``labeled`` and ``validation`` are dealt out, those of ``test`` dropped.
    Images of one group, equal files, and images that are linked by others stay
    together. Each class is in as many folds as its groups allow, and so are its
    labelled and its validation images each. A class that lies in one group alone could
    not be learned while that is held out, so the group trains in every fold.

    A group in both parts is held out as a whole, and else its rows stay where they
    are; ``Split.load`` refuses such a split.

    Args:
        split: of the data.
        num_folds: K, 2 or more.
        repeat: number of the repeat; each deals anew.
        seed: the seed of all draws.
        multi_label: labels may name several classes, joined by ``|``.

    Returns:
        K splits. In each, ``test`` is what the fold holds out, and every other row is
        in the part that it has in the split, but unlabelled ones of a group or
        content that is held out. Where a fold holds out all the labelled images of a
        class, validation images of one group are its labelled ones there.

    Raises:
        UsageError: fewer than 2 folds.
        DataError: fewer groups than folds, or a class that no training would see
            while it is held out: its groups hold so many other classes that one fold
            gets them all.
    """
    if num_folds < 2:
        raise UsageError(f"folds: {num_folds} cannot hold anything out; give 2 or more")
    dealt = _Units.of(split, multi_label=multi_label)
    _refuse_too_few(dealt, num_folds)
    rng = generator(seed, "folds/deal", repeat)
    counts = [dealt.counts, *(dealt.counts_in(part) for part in _INNER)]
    free = ~dealt.alone[:, None]  # the others are in no fold
    fold_of = deal_units(np.hstack(counts) * free, num_folds, rng)
    _refuse_lost_classes(dealt, fold_of)
    return tuple(_one(dealt, fold_of == fold) for fold in range(num_folds))


def fold_notes(
    split: Split, *, num_folds: int, multi_label: bool = False
) -> tuple[str, ...]:
    """Say in words which classes have too few groups for so many folds."""
    dealt = _Units.of(split, multi_label=multi_label)
    groups = dict(zip(dealt.classes, dealt.groups_per_class.tolist(), strict=True))
    free = (dealt.counts[~dealt.alone] > 0).sum(axis=0).tolist()
    held = dict(zip(dealt.classes, free, strict=True))
    few = {n: count for n, count in held.items() if 0 < count < num_folds}
    notes = []
    if lone := [name for name, count in held.items() if not count]:
        num = int(dealt.labels[dealt.alone[dealt.unit]].any(axis=1).sum())
        notes.append(
            f"never held out: {listing(lone)}, as all its images are in one group, or "
            f"share one with such a class; {num} images train in every fold, and no "
            "number here is about these classes"
        )
    if few:
        words = listing([f"{shown(name)} ({count})" for name, count in few.items()])
        notes.append(
            f"fewer groups than the {num_folds} folds: {words}; so not every fold asks "
            "for these classes, and their pooled number rests on few parts"
        )
    learned = (dealt.counts_in("labeled") > 0).sum(axis=0).tolist()
    single = [
        shown(name)
        for name, count in zip(dealt.classes, learned, strict=True)
        if count == 1 and groups[name] > 1 and not dealt.is_bare(name)
    ]
    if single:
        notes.append(
            f"labelled images of one group alone: {listing(single)}; the fold that "
            "holds them out learns these classes from validation images of one group"
        )
    return tuple(notes)


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

    def counts_in(self, part: str) -> Ints:
        """(G, C) those of one part alone."""
        rows = np.array([row.part == part for row in self.rows], dtype=np.bool_)
        return count_by_unit(self.unit[rows], self.labels[rows], self.counts.shape)

    def is_bare(self, name: str) -> bool:
        """Tell whether it stands for no class at all: there is nothing to learn."""
        return self.multi_label and name == NONE

    @property
    def groups_per_class(self) -> Ints:
        """(C,) units that hold each class."""
        return np.asarray((self.counts > 0).sum(axis=0), dtype=np.int64)

    @property
    def alone(self) -> Bools:
        """(G,) units that some class has no other than."""
        bare = np.array([self.is_bare(name) for name in self.classes], dtype=np.bool_)
        single = (self.groups_per_class == 1) & ~bare
        return np.asarray((self.counts[:, single] > 0).any(axis=1))


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
    asked = (dealt.counts[~dealt.alone].sum(axis=0) > 0).tolist()
    if sum(asked) < 2 <= len(dealt.classes):
        lone = [n for n, has in zip(dealt.classes, asked, strict=True) if not has]
        raise DataError(
            f"all images of {listing(lone)} are in one group each, which cannot be "
            "held out and still be learned, so folds would ask for one class alone; "
            "label images of further parts"
        )
    groups = int((dealt.counts.any(axis=1) & ~dealt.alone).sum())
    if groups < num_folds:
        raise DataError(
            f"{num_folds} folds, but the labelled images that can be held out are "
            f"{groups} groups, so a fold would hold nothing out; take fewer folds, or "
            "label images of further parts"
        )


def _refuse_lost_classes(dealt: _Units, fold_of: Ints) -> None:
    """Refuse a deal in which holding a fold out leaves a class without an image."""
    lost = []
    for place, name in enumerate(dealt.classes):
        folds = np.unique(fold_of[dealt.counts[:, place] > 0])
        if folds.size == 1 and folds[0] >= 0 and not dealt.is_bare(name):
            num = int(dealt.labels[:, place].sum())
            groups = int(dealt.groups_per_class[place])
            lost.append(f"{shown(name)} ({num} images in {groups} groups)")
    if lost:
        raise DataError(
            f"no fold can hold these classes out and still learn them: {listing(lost)}"
            "; label images of further parts, or leave the class out of the data"
        )


def _one(dealt: _Units, held: Bools) -> Split:
    """Return the split of one fold; ``held`` (G,) are the units of its test part."""
    lent = _lent(dealt, held)
    rows = []
    for row, unit in zip(dealt.rows, dealt.unit.tolist(), strict=True):
        if row.part == "unlabeled":
            if not held[unit]:
                rows.append(row)
        elif held[unit]:
            rows.append(replace(row, part="test"))
        else:
            rows.append(replace(row, part="labeled") if lent[unit] else row)
    return Split(ordered(rows))


def _lent(dealt: _Units, held: Bools) -> Bools:
    """Return (G,) units whose validation rows a class needs, having no other label."""
    lent = np.zeros_like(held)
    learned, spare = (
        np.where(held[:, None], 0, dealt.counts_in(part)) for part in _INNER
    )
    for place, name in enumerate(dealt.classes):
        has = learned[:, place].any() or spare[lent, place].any()
        if not has and not dealt.is_bare(name):
            lent[spare[:, place].argmax()] = True
    return lent
