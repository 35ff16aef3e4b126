"""Read a manifest: a CSV table of images (path, label, split, group) made by people.

Every complaint names the line.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from uda.data.table import Table, listing, read_table, shown
from uda.errors import DataError, UsageError
from uda.files import inside
from uda.words import did_you_mean

MANIFEST_NAME = "manifest.csv"
GROUP_WORDS = ("auto", "none")  # what --group takes besides a column
# Columns that never are classes.
RESERVED = ("path", "label", "split", "group")
# What the `split` column may say, and the part it hints at.
PART_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "unlabeled": "unlabeled",
    "unlabelled": "unlabeled",
}
# Another such word: unlabelled, whatever label an older split knows.
WITHDRAWN = "withdrawn"
_SHOWN = 10

# Where (file and line), the row's cells -> its label.
LabelOf = Callable[[str, Mapping[str, str]], str | None]


@dataclass(frozen=True)
class Entry:
    """One manifest row, checked: ``path`` is relative and lies in the folder."""

    line: int
    path: str
    label: str | None
    part: str | None
    group: str | None
    withdrawn: bool = False


@dataclass(frozen=True)
class Manifest:
    """The checked rows of a manifest, its columns, and notes in words."""

    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def read_manifest(
    path: Path,
    *,
    group_column: str | None = None,
    labels: Callable[[Table, str | None], LabelOf] | None = None,
) -> Manifest:
    """Read ``path,label[,split][,group]``; paths are relative to the file's folder.

    Args:
        path: the CSV file.
        group_column: the column that says what belongs together; None takes
            ``group`` where there is one.
        labels: what finds the label of a row, for other forms of the table than a
            column ``label`` with one class per cell (see ``multilabel.label_reader``).

    Returns:
        One entry per image, in the file's order. Labels and groups are text without
        surrounding spaces (a class called ``NO`` or ``01`` stays that); empty means
        none. A row that comes twice counts once and is noted.

    Raises:
        DataError: for paths outside of the folder, missing files, rows of one path
            that contradict each other, unknown words in ``split``, several labels
            in one cell; each with its line.
        UsageError: when ``group_column`` is not in the file.
    """
    table = read_table(path, ("path", "label") if labels is None else ("path",))
    column = _group_column(table, group_column)
    label_of = _one_label if labels is None else labels(table, column)
    entries: dict[str, Entry] = {}
    repeated: list[str] = []
    clashes: list[str] = []
    for line, cells in table.rows:
        entry = _entry(table, line, cells, column=column, label_of=label_of)
        first = entries.setdefault(entry.path, entry)
        if first is entry:
            continue
        repeated.append(f"line {line}: {entry.path}")
        if _said(first) != _said(entry):
            clashes.append(
                f"{shown(entry.path)} (line {first.line}: {_words(first)}; "
                f"line {line}: {_words(entry)})"
            )
    _refuse_clashes(path, clashes)
    _refuse_missing(path, list(entries.values()))
    notes = [f"{path.name}: rows that come twice count once: {listing(repeated)}"]
    return Manifest(
        tuple(entries.values()), table.header, tuple(notes if repeated else ())
    )


def _group_column(table: Table, wanted: str | None) -> str | None:
    if wanted is None:
        return "group" if "group" in table.header else None
    name = wanted.strip().lower()
    if name in table.header:
        return name
    hint = did_you_mean(name, [*table.header, *GROUP_WORDS])
    raise UsageError(
        f"{table.path}: no column '{shown(wanted)}'{hint}; there are: "
        f"{listing(table.header)}; or auto, none"
    )


def _one_label(where: str, cells: Mapping[str, str]) -> str | None:
    """Read the one label of a row; empty means unlabelled."""
    label = cells["label"].strip() or None
    if label is not None:
        check_name(label, where)
        check_label(label, where)
    return label


def _entry(
    table: Table,
    line: int,
    cells: Mapping[str, str],
    *,
    column: str | None,
    label_of: LabelOf,
) -> Entry:
    where = f"{table.path}, line {line}"
    word = cells.get("split", "").strip()
    label = label_of(where, cells)
    part = _part(where, word, label)
    group = (cells.get(column, "").strip() or None) if column else None
    if group is not None:
        check_name(group, where)
    path = _clean_path(table.path.parent, cells["path"], where)
    return Entry(line, path, label, part, group, word.lower() == WITHDRAWN)


def _part(where: str, word: str, label: str | None) -> str | None:
    """Return the part that a row's ``split`` names, None where it is empty."""
    words = {**PART_WORDS, WITHDRAWN: "unlabeled", "": None}
    if word.lower() not in words:
        raise DataError(
            f"{where}: split '{shown(word)}' is not one of train, validation, test, "
            f"unlabeled, {WITHDRAWN} (or empty)"
        )
    if word.lower() == WITHDRAWN and label is not None:
        raise DataError(
            f"{where}: split '{shown(word)}' says that the image has no label any "
            f"more, and its label is {shown(label)}; empty one of the two cells"
        )
    return words[word.lower()]


def check_name(text: str, where: str) -> None:
    """Refuse a class or group name that no report or JSON file could hold."""
    if _is_no_utf8(text):
        raise DataError(
            f"{where}: the name '{shown(text)}' is not UTF-8; save the file as CSV "
            "UTF-8, or rename the folder"
        )


def _is_no_utf8(text: str) -> bool:
    """Tell whether bytes of the file were read as surrogates (see ``read_table``)."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def check_class(name: str, where: str) -> None:
    """Refuse a class name that says that there is no label."""
    if PART_WORDS.get(name.lower()) == "unlabeled":
        raise DataError(
            f"{where}: '{shown(name)}' is no class; leave the label empty where an "
            "image has none"
        )


def check_label(label: str, where: str) -> None:
    """Refuse a cell or folder name that is no class, or joins several labels."""
    check_class(label, where)
    if "|" in label:
        raise DataError(
            f"{where}: the label '{shown(label)}' names several classes; a manifest's "
            "cell is read so with --multi-label alone (inspect, split, train): else "
            "give one class per image"
        )


def _clean_path(root: Path, cell: str, where: str) -> str:
    """Return the path in the folder with forward slashes, or raise with the line."""
    if not cell.strip():
        raise DataError(f"{where}: the path is empty; name a file or delete the row")
    if not os.path.lexists(root / cell):
        cell = cell.strip().replace("\\", "/")  # written on Windows, or by hand
    if PureWindowsPath(cell).drive and not os.path.lexists(root / cell):
        raise DataError(
            f"{where}: '{shown(cell)}': paths must be relative to {root}; remove the "
            "drive, or move the file there"
        )
    try:
        inside(root, cell)
    except DataError as error:
        raise DataError(f"{where}: {shown(error)}") from error
    return PurePosixPath(cell).as_posix()


def _said(entry: Entry) -> tuple[str | None, ...]:
    return entry.label, entry.part, entry.group


def _words(entry: Entry) -> str:
    named = zip(("label", "split", "group"), _said(entry), strict=True)
    return ", ".join(f"{name} {shown(value or '(empty)')}" for name, value in named)


def _refuse_clashes(path: Path, clashes: Sequence[str]) -> None:
    if clashes:
        raise DataError(
            f"{path}: {len(clashes)} rows contradict an earlier row of the same file: "
            f"{'; '.join(clashes[:_SHOWN])}; keep one row per image"
        )


def _exists_otherwise(path: Path) -> bool:
    """Tell whether a missing file is there under another Unicode form of its name."""
    name = str(path)
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")} - {name}
    return not os.path.isfile(name) and any(map(os.path.isfile, forms))  # noqa: PTH113


def _refuse_missing(path: Path, entries: Sequence[Entry]) -> None:
    # os.path: a name too long for the file system is missing, not an exception
    missing = [
        entry
        for entry in entries
        if not os.path.isfile(path.parent / entry.path)  # noqa: PTH113
    ]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(entries)} files are missing: "
            f"{listing([f'line {entry.line}: {entry.path}' for entry in missing])}"
            f"{_hint(path.parent, missing)}; paths count from {path.parent}: restore "
            "the files or delete their rows"
        )


def _hint(root: Path, missing: Sequence[Entry]) -> str:
    """Say how letters can be the reason that files are not found."""
    if any(_is_no_utf8(entry.path) for entry in missing):
        return (
            " (some names are not UTF-8, as Excel writes them under 'CSV': save the "
            "table as CSV UTF-8)"
        )
    if any(_exists_otherwise(root / entry.path) for entry in missing):
        return (
            " (some are there with letters in another Unicode form, as from a Mac: "
            "rename the files, or copy their names from the folder)"
        )
    return ""
