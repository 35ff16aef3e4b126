"""Let validation and test of a split follow the data: moved, relabelled, deleted files.

Without that their rows stay letter by letter, so that results compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from uda.data.records import Catalog
from uda.data.splitfile import Progress, Split, SplitRow, hash_files, ordered
from uda.data.table import listing, shown

FIXED = ("test", "validation")


def refresh(
    split: Split, catalog: Catalog, progress: Progress | None = None
) -> tuple[Split, list[str]]:
    """Return a split whose validation and test rows are as the data are now.

    A file that is gone is looked for by its content among those that the split does not
    name, and dropped where none has it; labels and hashes are those of now. Other rows
    stay as they are.

    Args:
        split: the older split.
        catalog: the data now, with the labels that the split alone knows.
        progress: told about hashing.

    Returns:
        The split, and notes: what moved, went and is called otherwise.
    """
    rows = [row for row in split.rows if row.part in FIXED]
    present = [catalog.by_path[r.path] for r in rows if r.path in catalog.by_path]
    hashes = hash_files(present, progress)
    homes = _homes(split, catalog, progress) if len(present) < len(rows) else {}
    now = {row.path: _now(row, catalog, hashes, homes) for row in rows}
    kept = [new for new in now.values() if new is not None]
    others = [row for row in split.rows if row.part not in FIXED]
    return Split(ordered([*others, *kept])), _notes(rows, now)


def _homes(split: Split, catalog: Catalog, progress: Progress | None) -> dict[str, str]:
    """Return the path by content of the images that the split does not name."""
    unknown = [catalog.by_path[path] for path in split.unknown(catalog)]
    found = hash_files(unknown, progress)
    return {sha256: path for path, sha256 in sorted(found.items(), reverse=True)}


def _now(
    row: SplitRow,
    catalog: Catalog,
    hashes: Mapping[str, str],
    homes: dict[str, str],
) -> SplitRow | None:
    """Return a row as it is now; None to drop it."""
    if row.path in hashes:
        path, sha256 = row.path, hashes[row.path]
    elif row.sha256 and row.sha256 in homes:
        path, sha256 = homes.pop(row.sha256), row.sha256
    else:
        return None
    label = catalog.by_path[path].label
    return (
        None if label is None else replace(row, path=path, label=label, sha256=sha256)
    )


def _notes(rows: list[SplitRow], now: Mapping[str, SplitRow | None]) -> list[str]:
    gone = [row.path for row in rows if now[row.path] is None]
    moved, called = [], []
    for row in rows:
        new = now[row.path]
        if new is not None and new.path != row.path:
            moved.append(f"{shown(row.path)} is {shown(new.path)}")
        if new is not None and new.label != row.label:
            called.append(f"{shown(new.path)} was {shown(row.label)}")
    said = (
        (gone, "images of validation and test are gone or without label: dropped"),
        (moved, "images of validation and test have another place"),
        (called, "images of validation and test have another label"),
    )
    notes = [
        f"{len(items)} {words}: {listing(items, 3)}" for items, words in said if items
    ]
    if gone or called:
        notes.append(
            "validation or test are not what they were: results on them do not compare "
            "with older ones"
        )
    return notes
