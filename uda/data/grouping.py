"""What must stay together in a split: images of one group, and equal files.

Gathers hashes, groups and units of a catalog (and of an older split of it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from uda.data.multilabel import NONE, split_text
from uda.data.partition import Ints, connect
from uda.data.records import Catalog, Record
from uda.data.splitfile import EMPTY_SHA256, EQUAL_FILES, Progress, SplitRow, hash_files
from uda.data.table import listing, shown

Key = tuple[str, str]  # what an image is known by: ("group", "t065")


@dataclass
class Facts:
    """What a draw needs to know of each image.

    Attributes:
        paths: those of the catalog and of the older split.
        records: by path; readable images of the catalog, labelled ones first.
        hashes: SHA-256 by path, for the same images.
        groups: the name of the group by path, for images that have one.
        unit: number of the unit by path; images of one unit never part.
        classes: class number by name.
        notes: what to tell the user.
        multi_label: whether a label may name several classes. An image without any
            then counts for the class ``none``, or no part would be sure to get it.
    """

    paths: list[str]
    records: dict[str, Record]
    hashes: dict[str, str]
    groups: dict[str, str]
    unit: dict[str, int]
    classes: dict[str, int]
    notes: list[str]
    multi_label: bool = False

    def names_in(self, label: str | None) -> tuple[str, ...]:
        """Return the classes that a label counts for; one, unless ``multi_label``."""
        if label is None:
            return ()
        return (split_text(label) or (NONE,)) if self.multi_label else (label,)

    def units_of(self, paths: Sequence[str]) -> Ints:
        """Return the (n,) unit numbers of paths."""
        return np.array([self.unit[path] for path in paths], dtype=np.int64)

    def labels_of(self, paths: Sequence[str]) -> Ints:
        """Return the (n,) class numbers of paths, -1 without label.

        With ``multi_label`` (n, C) of 0 and 1.
        """
        labels = [self.records[path].label for path in paths]
        if self.multi_label:
            found = np.zeros((len(labels), len(self.classes)), dtype=np.int64)
            for row, label in enumerate(labels):
                found[row, [self.classes[name] for name in self.names_in(label)]] = 1
            return found
        return np.array(
            [-1 if name is None else self.classes[name] for name in labels], np.int64
        )


def gather(
    catalog: Catalog,
    groups: Mapping[str, str] | None,
    *,
    old: Mapping[str, SplitRow] | None = None,
    progress: Progress | None = None,
) -> Facts:
    """Hash the files and connect what belongs together.

    Args:
        catalog: the images.
        groups: group by path, or None.
        old: rows of an older split by path. Names of groups found by software differ
            from one time to the next, so old and new names are two vocabularies that
            meet in the images they share.
        progress: told about hashing.

    Returns:
        The facts, with notes on unreadable and equal files.
    """
    hashes = hash_files(catalog.records, progress)
    # Labelled images first: unlabelled ones must not change the numbers of units,
    # and with them the draw of the test.
    inventory = sorted(catalog.records, key=lambda r: (r.label is None, r.path))
    records = {r.path: r for r in inventory if r.path in hashes}
    old = old or {}
    paths = [*records, *sorted(old.keys() - records.keys())]
    named = {path: groups[path] for path in records if groups and path in groups}
    keys = [
        _keys(path, named.get(path), hashes.get(path), old.get(path)) for path in paths
    ]
    numbers = connect(keys).tolist()
    facts = Facts(
        paths=paths,
        records=records,
        hashes=hashes,
        groups=named,
        unit=dict(zip(paths, numbers, strict=True)),
        classes={name: number for number, name in enumerate(_classes(catalog))},
        notes=[],
        multi_label=catalog.multi_label,
    )
    closed = [r.path for r in catalog.records if r.path not in hashes]
    if closed:
        facts.notes.append(
            f"{len(closed)} files cannot be read and were left out: {listing(closed)}; "
            "change their permissions or copy them again"
        )
    _join_equal_files(facts)
    return facts


def _classes(catalog: Catalog) -> tuple[str, ...]:
    bare = catalog.multi_label and any(r.label == NONE for r in catalog.records)
    return (*catalog.classes, NONE) if bare else catalog.classes


def _keys(
    path: str, group: str | None, sha256: str | None, row: SplitRow | None
) -> list[Key]:
    keys: list[Key] = [("path", path)]
    if group is not None:
        keys.append(("group", group))
    if row is not None and row.group is not None:
        keys.append(("old group", row.group))
    contents = (sha256, row.sha256 if row is not None else None)
    keys += [("content", c) for c in contents if c and c != EMPTY_SHA256]
    return keys


def _join_equal_files(facts: Facts) -> None:
    """Name the groups of equal files, and note them and their contradictions."""
    twins: dict[str, list[str]] = {}
    for path, sha256 in facts.hashes.items():
        if sha256 != EMPTY_SHA256:
            twins.setdefault(sha256, []).append(path)
    equal = {sha256: paths for sha256, paths in twins.items() if len(paths) > 1}
    if not equal:
        return
    for sha256, paths in equal.items():
        for path in paths:
            facts.groups.setdefault(path, EQUAL_FILES + sha256[:12])
    examples = [" = ".join(sorted(paths)[:2]) for paths in equal.values()]
    facts.notes.append(
        f"{sum(map(len, equal.values())) - len(equal)} files equal another one byte "
        f"for byte and stay in its part: {listing(examples, 3)}"
    )
    clashes = [_clash(facts, paths) for paths in equal.values()]
    clashes = [clash for clash in clashes if clash]
    if clashes:
        facts.notes.append(
            f"{len(clashes)} sets of equal files have different labels: "
            f"{'; '.join(clashes[:5])}; correct the wrong ones"
        )


def _clash(facts: Facts, paths: Sequence[str]) -> str:
    """Return equal files with their labels, if these differ."""
    labels = {p: facts.records[p].label for p in paths if facts.records[p].label}
    if len(set(labels.values())) < 2:
        return ""
    return ", ".join(f"{shown(path)} {shown(label)}" for path, label in labels.items())


def row_of(facts: Facts, path: str, part: str) -> SplitRow:
    """Return the split's row of one image."""
    label = facts.records[path].label
    return SplitRow(path, part, label, facts.groups.get(path), facts.hashes[path])
