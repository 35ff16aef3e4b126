"""Let a split follow its data: files that moved, and test images that changed.

Without that the rows of validation and test stay letter by letter, so that results
compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from uda.data.records import Catalog
from uda.data.splitfile import (
    EMPTY_SHA256,
    PARTS,
    Progress,
    Split,
    SplitRow,
    hash_files,
    ordered,
)
from uda.data.table import listing, shown
from uda.errors import DataError

FIXED = ("test", "validation")


def follow_files(
    split: Split, catalog: Catalog, progress: Progress | None = None
) -> tuple[Split, list[str]]:
    """Return a split whose rows name their files where these are now, and notes.

    A file that is gone, or whose place in validation or test another one took, is
    looked for by its content among those that the split does not name: a renamed class
    folder keeps its parts, its groups and the labels that were held back.

    Args:
        split: the older split. Rows without a hash stay.
        catalog: the data now.
        progress: told about hashing.
    """
    fixed = [row for row in split.rows if row.part in FIXED]
    present = [catalog.by_path[r.path] for r in fixed if r.path in catalog.by_path]
    hashes = hash_files(present, progress)
    lost = [
        row
        for row in split.rows
        if row.sha256 not in ("", EMPTY_SHA256)
        and (
            row.path not in catalog.by_path
            or hashes.get(row.path, row.sha256) != row.sha256
        )
    ]
    if not lost:
        return split, []
    unknown = [catalog.by_path[path] for path in split.unknown(catalog)]
    homes: dict[str, list[str]] = {}
    for path, sha256 in sorted(hash_files(unknown, progress).items()):
        homes.setdefault(sha256, []).append(path)
    moved: dict[str, str] = {}
    for row in sorted(lost, key=lambda row: -PARTS.index(row.part)):  # the test first
        if homes.get(row.sha256):
            moved[row.path] = homes[row.sha256].pop(0)
    rows = [replace(row, path=moved.get(row.path, row.path)) for row in split.rows]
    pairs = [f"{shown(old)} is {shown(new)}" for old, new in sorted(moved.items())]
    return Split(ordered(rows)), _notes([(pairs, "images have another place")])


def follow_labels(
    split: Split, catalog: Catalog, progress: Progress | None = None
) -> tuple[Split, list[str]]:
    """Return a split whose validation and test are as the data are now, and notes.

    Rows whose file is gone or has no label are dropped; labels and hashes are those of
    now. Other rows stay as they are.

    Args:
        split: the older split, its files followed.
        catalog: the data now, with the labels that the split alone knows.
        progress: told about hashing.

    Raises:
        DataError: a file cannot be read, or nothing is left of a part.
    """
    fixed = [row for row in split.rows if row.part in FIXED]
    gone = [row.path for row in fixed if row.path not in catalog.by_path]
    records = [catalog.by_path[r.path] for r in fixed if r.path in catalog.by_path]
    hashes = hash_files(records, progress)
    closed = [record.path for record in records if record.path not in hashes]
    if closed:
        raise DataError(
            f"{len(closed)} images of validation or test cannot be read: "
            f"{listing(closed, 3)}; change their permissions or copy them again"
        )
    bare = [record.path for record in records if record.label is None]
    kept = [
        replace(row, label=catalog.by_path[row.path].label, sha256=hashes[row.path])
        for row in fixed
        if row.path not in {*gone, *bare}
    ]
    _refuse_empty(fixed, kept)
    before = split.by_path
    renamed = _renamed([(str(before[r.path].label), str(r.label)) for r in kept])
    called = [
        f"{shown(row.path)} was {shown(before[row.path].label)}"
        for row in kept
        if row.label != before[row.path].label and not renamed
    ]
    changed = [
        row.path
        for row in kept
        if before[row.path].sha256 and before[row.path].sha256 != row.sha256
    ]
    notes = _notes([
        (gone, "images of validation and test are gone and were dropped"),
        (bare, "images of validation and test have no label any more and were dropped"),
        (called, "images of validation and test have another label"),
        (changed, "images of validation and test have other content"),
    ])  # fmt: skip
    if notes:
        notes.append(
            "validation or test are not what they were: results on them do not compare "
            "with older ones"
        )
    names = [f"{shown(old)} is {shown(new)}" for old, new in sorted(renamed.items())]
    notes = [*_notes([(names, "classes are called otherwise")]), *notes]
    others = [row for row in split.rows if row.part not in FIXED]
    return Split(ordered([*others, *kept])), notes


def _renamed(labels: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return {old: new} names where classes as a whole are called otherwise.

    Empty where any class was split, two became one, or nothing changed.
    """
    new = {(old, now) for old, now in labels}
    one_to_one = (
        len(new) == len({old for old, _ in new}) == len({now for _, now in new})
    )
    return {old: now for old, now in new if old != now} if one_to_one else {}


def _refuse_empty(fixed: Sequence[SplitRow], kept: Sequence[SplitRow]) -> None:
    for part in FIXED:
        if any(r.part == part for r in fixed) and all(r.part != part for r in kept):
            raise DataError(
                f"none of the {part} images is in the data; are these the data that "
                "the older split was made of? If so, write a new one without --extend"
            )


def _notes(said: Sequence[tuple[Sequence[str], str]]) -> list[str]:
    return [
        f"{len(items)} {words}: {listing(items, 3)}" for items, words in said if items
    ]
