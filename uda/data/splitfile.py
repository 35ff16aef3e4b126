"""The split as a value and as a file: path,part,label,group,sha256.

Written once, never over another file; checked when read and against the data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from uda.cores import usable_cores
from uda.data.manifest import WITHDRAWN
from uda.data.records import Catalog, Record
from uda.data.table import decode_name, encode_name, listing, read_table, shown
from uda.errors import DataError, UsageError
from uda.files import sha256_file, write_csv

PARTS = ("labeled", "unlabeled", "validation", "test")
HEADER = ("path", "part", "label", "group", "sha256")
# Content hash of a file of 0 bytes: such files are equal, but no duplicates.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# What the group of equal files is called where no group was told.
EQUAL_FILES = "same-"
Progress = Callable[[str, int, int], None]

_SIDES = {
    "labeled": "training",
    "unlabeled": "unlabeled",
    "validation": "validation",
    "test": "test",
}
_EQUAL = re.compile(rf"{EQUAL_FILES}[0-9a-f]{{12}}\+*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def unit_of(group: str | None, path: str) -> str:
    """Return an image's group; without one it is one of its own.

    No group can be called so: neither names nor paths hold a NUL.
    """
    return group or f"\0{path}"


@dataclass(frozen=True)
class SplitRow:
    """One image: its catalog path, part, label, group and content hash.

    The label is what the data says, also in the part ``unlabeled`` when the user has
    one: the file is honest. Training reads the labels of ``labeled`` rows alone; the
    others serve diagnostics (how many pseudo-labels are right).
    """

    path: str
    part: str
    label: str | None
    group: str | None
    sha256: str

    @property
    def unit(self) -> str:
        """What is independent of all other units: the group, or the image alone."""
        return unit_of(self.group, self.path)


@dataclass(frozen=True)
class Split:
    """The rows of a split, ordered by part and path."""

    rows: tuple[SplitRow, ...]

    @cached_property
    def by_path(self) -> dict[str, SplitRow]:
        """The rows by their path."""
        return {row.path: row for row in self.rows}

    @property
    def grouped(self) -> bool:
        """Whether it keeps groups together, and not equal files alone."""
        names = (row.group for row in self.rows if row.group)
        return any(not _EQUAL.fullmatch(name) for name in names)

    def part(self, name: str) -> tuple[SplitRow, ...]:
        """Return the rows of one part.

        Raises:
            ValueError: for a part that does not exist.
        """
        if name not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, not {name!r}")
        return tuple(row for row in self.rows if row.part == name)

    def records(self, catalog: Catalog, name: str) -> tuple[Record, ...]:
        """Return the catalog's records of one part, in the order of the rows.

        Raises:
            DataError: when files of the part are not in the data.
        """
        rows = self.part(name)
        missing = [row.path for row in rows if row.path not in catalog.by_path]
        if missing:
            raise DataError(
                f"{len(missing)} files of the part {name!r} are not in "
                f"{shown(catalog.root)}: {listing(missing)}; restore them (for paths "
                "with @ give the same --unlabeled folders in the same order), or write "
                "a new split with uda split --extend, and --refresh for files of "
                "validation and test"
            )
        return tuple(catalog.by_path[row.path] for row in rows)

    def save(self, path: Path) -> None:
        """Write the file, atomically.

        Text that a spreadsheet would run, line breaks and bytes that are not UTF-8
        are escaped; ``load`` gives every name back exactly.

        Raises:
            UsageError: when there is such a file: a split is never overwritten, since
                runs rest on it.
        """
        path = Path(path)
        if os.path.lexists(path):
            raise UsageError(
                f"{shown(path)}: exists already and is never overwritten, since runs "
                "may rest on it; choose another name with --out"
            )
        cells = (
            (
                encode_name(r.path),
                r.part,
                encode_name(r.label),
                encode_name(r.group),
                r.sha256,
            )
            for r in self.rows
        )
        write_csv(path, HEADER, cells)

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a split file and check it.

        Raises:
            DataError: for missing columns, unknown parts, a path that comes twice, a
                labelled, validation or test row without label, or a group or content
                that is in two of training, validation and test; names the line.
        """
        path = Path(path)
        table = read_table(path, HEADER)
        rows: dict[str, SplitRow] = {}
        for line, cells in table.rows:
            row = _row(f"{shown(path)}, line {line}", cells)
            if row.path in rows:
                raise DataError(
                    f"{shown(path)}, line {line}: {shown(row.path)} comes twice; keep "
                    "one row per image"
                )
            rows[row.path] = row
        if not rows:
            raise DataError(f"{shown(path)}: holds no rows; write it with uda split")
        split = cls(ordered(rows.values()))
        crossing = split.crossings()
        if crossing:
            raise DataError(
                f"{shown(path)}: {len(crossing)} groups are in two parts, so its "
                f"numbers would be too good: {listing(crossing, 5)}; write a new split "
                "with uda split --group"
            )
        return split

    def crossings(self, *, unlabeled: bool = False) -> list[str]:
        """Name groups and equal files that are in two of training, validation, test.

        Args:
            unlabeled: also count unlabelled images that share a group with
                validation or test (as ``--transductive`` allows).
        """
        sides: dict[str, set[str]] = {}
        for row in self.rows:
            if row.part == "unlabeled" and not unlabeled:
                continue
            side = "training" if row.part == "unlabeled" else _SIDES[row.part]
            for name in _known_as(row):
                sides.setdefault(name, set()).add(side)
        return [
            f"{name} ({', '.join(sorted(where))})"
            for name, where in sides.items()
            if len(where) > 1
        ]

    def verify(self, catalog: Catalog, progress: Progress | None = None) -> list[str]:
        """Say what is missing or changed since the split was written.

        Reads every file once. Files of the data that the split does not know are no
        fault (see ``unknown``).

        Returns:
            One line per image, each beginning with its path; empty when all is well.
        """
        return self._faults(catalog, self._hashes(catalog, progress))

    def as_found(
        self, catalog: Catalog, name: str, progress: Progress | None = None
    ) -> tuple[Split, list[str]]:
        """Return the split with the hashes of its files as they are now, and faults.

        Without hashes (the file may lack them) nobody could tell later which images
        were in training. Test images keep the hash that they had, so that evaluation
        still notices a change.

        Args:
            catalog: the data now.
            name: of the split file, for messages.
            progress: told about hashing.

        Raises:
            DataError: labelled or validation images have changed since the split was
                written, or equal files are on two sides.
        """
        hashes = self._hashes(catalog, progress)
        changed = [row.path for row in self.rows if _other_content(row, hashes)]
        if changed:
            raise DataError(
                f"{name}: {len(changed)} labelled or validation images have changed "
                f"since the split was written: {listing(changed)}; restore them, or "
                "take them as they are now with `uda split DATA --extend SPLIT "
                "--refresh --out NEW`, which keeps the rest"
            )
        split = Split(tuple(_hashed(row, hashes) for row in self.rows))
        crossing = split.crossings()
        if crossing:
            raise DataError(
                f"{name}: {len(crossing)} files or groups are in two parts, so its "
                f"numbers would be too good: {listing(crossing, 5)}; write a new split"
            )
        return split, self._faults(catalog, hashes)

    def _hashes(self, catalog: Catalog, progress: Progress | None) -> dict[str, str]:
        present = [
            catalog.by_path[r.path] for r in self.rows if r.path in catalog.by_path
        ]
        return hash_files(present, progress)

    def _faults(self, catalog: Catalog, hashes: Mapping[str, str]) -> list[str]:
        faults = (
            _fault(row, catalog.by_path.get(row.path), hashes) for row in self.rows
        )
        return [fault for fault in faults if fault]

    def refuse_other_labels(self, catalog: Catalog, name: str) -> None:
        """Refuse data whose labels are not the split's, which would be used.

        Raises:
            DataError: a label was corrected in one place alone; names the image.
        """
        found = []
        for row in self.rows:
            record = catalog.by_path.get(row.path)
            if row.part == "unlabeled" or record is None:
                continue
            label = WITHDRAWN if record.withdrawn else record.label
            if label not in (None, row.label):
                found.append(
                    f"{shown(row.path)} is {shown(row.label)} there and "
                    f"{shown(label)} in the data"
                )
        if found:
            raise DataError(
                f"{name}: the label of {len(found)} images differs: "
                f"{listing(found, 3)}. Training goes by the split, so the data's "
                "label would have no effect: write a split that follows the data with "
                "uda split --extend SPLIT --refresh, or leave --split out"
            )

    def unknown(self, catalog: Catalog) -> list[str]:
        """Return the paths of images that were added since; --extend takes them in."""
        return [r.path for r in catalog.records if r.path not in self.by_path]


def ordered(rows: Iterable[SplitRow]) -> tuple[SplitRow, ...]:
    """Return rows by part, then path, so that a part is one block of the file."""
    return tuple(sorted(rows, key=lambda row: (PARTS.index(row.part), row.path)))


def hash_files(
    records: Sequence[Record], progress: Progress | None = None
) -> dict[str, str]:
    """Return the SHA-256 of each record's file by path; unreadable ones are absent."""
    hashes: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=min(8, 2 * usable_cores())) as pool:
        results = pool.map(_hash_or_none, (record.file for record in records))
        for done, (record, sha256) in enumerate(zip(records, results, strict=True), 1):
            if sha256 is not None:
                hashes[record.path] = sha256
            if progress is not None:
                progress("hash", done, len(records))
    return hashes


def _hash_or_none(file: Path) -> str | None:
    try:
        return sha256_file(file)
    except OSError:
        return None


def _fault(
    row: SplitRow, record: Record | None, hashes: Mapping[str, str]
) -> str | None:
    """Return what is wrong with one row's file, or None."""
    name = f"{shown(row.path)} ({row.part})"
    if record is None:
        return (
            f"{name}: is not in the data any more; restore it, or use uda split "
            f"--extend{_refreshing(row)}"
        )
    sha256 = hashes.get(row.path)
    if sha256 is None:
        return f"{name}: cannot be read; restore it or change its permissions"
    if row.sha256 and sha256 != row.sha256:
        return (
            f"{name}: changed since the split was written; restore it, or use uda "
            f"split --extend{_refreshing(row)}"
        )
    if row.part != "unlabeled" and record.label != row.label:
        return (
            f"{name}: the label was {shown(row.label)} in the split and is "
            f"{shown(record.label)} in the data; correct one of them"
        )
    return None


def _refreshing(row: SplitRow) -> str:
    return " --refresh" if row.part in ("validation", "test") else ""


def _other_content(row: SplitRow, hashes: Mapping[str, str]) -> bool:
    """Tell whether a labelled or validation image is another one now."""
    if row.part not in ("labeled", "validation") or not row.sha256:
        return False
    return hashes.get(row.path, row.sha256) != row.sha256


def _hashed(row: SplitRow, hashes: Mapping[str, str]) -> SplitRow:
    now = hashes.get(row.path, row.sha256)
    keep = row.sha256 and row.part != "unlabeled"
    return row if keep or now == row.sha256 else replace(row, sha256=now)


def _known_as(row: SplitRow) -> list[str]:
    names = [] if row.group is None else [f"group {shown(row.group)}"]
    if row.sha256 and row.sha256 != EMPTY_SHA256:
        names.append(f"content {row.sha256[:12]}")
    return names


def _row(where: str, cells: Mapping[str, str]) -> SplitRow:
    """Check and decode one line."""
    path, label, group = (
        decode_name(cells[name]) for name in ("path", "label", "group")
    )
    part, sha256 = cells["part"].strip(), cells["sha256"].strip().lower()
    if not path:
        raise DataError(f"{where}: the path is empty; name a file or delete the row")
    if part not in PARTS:
        raise DataError(
            f"{where}: part '{shown(part)}' is not one of {', '.join(PARTS)}"
        )
    if part != "unlabeled" and not label:
        raise DataError(
            f"{where}: {shown(path)} is in the part {part!r} but has no label; give it "
            "one or make it unlabeled"
        )
    if sha256 and not _SHA256.fullmatch(sha256):
        raise DataError(
            f"{where}: '{shown(sha256)}' is no SHA-256 (64 hexadecimal digits); leave "
            "the cell empty when it is not known"
        )
    return SplitRow(path, part, label or None, group or None, sha256)
