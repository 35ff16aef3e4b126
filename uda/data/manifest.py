"""Read a CSV table of images (path, label, split, group) made by people.

Delimiter and byte-order mark are sniffed; every complaint names the line.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from uda.errors import DataError, UsageError
from uda.files import inside

MANIFEST_NAME = "manifest.csv"
# Columns that never are classes.
RESERVED = ("path", "label", "split", "group")
DELIMITERS = (",", ";", "\t")
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
_SHOWN = 10


def shown(text: object) -> str:
    """Return a name fit for one line of a message: no control or broken bytes."""
    clean = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean
    )


def listing(names: Sequence[str], limit: int = _SHOWN) -> str:
    """Join names for a message, the first ``limit`` of them and how many more."""
    head = ", ".join(shown(name) for name in names[:limit])
    return head if len(names) <= limit else f"{head} and {len(names) - limit} more"


@dataclass(frozen=True)
class Table:
    """A CSV file as text: its header and (line number, cells by column)."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    titles: tuple[str, ...] = ()  # the header as it is spelled


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


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a CSV file by its header.

    Args:
        path: the file; UTF-8 with or without BOM, or UTF-16 with one. Bytes that
            are not UTF-8 become surrogates, as in file names.
        required: columns that must be there, in lower case.

    Returns:
        The table; column names are lower case without surrounding spaces, cells
        are verbatim. Empty lines are left out.

    Raises:
        DataError: when the file cannot be read, a required column is missing, a
            column comes twice, or a row has more or fewer cells than the header.
    """
    text = _decode(path)
    headers = {delimiter: _header(text, delimiter) for delimiter in DELIMITERS}
    for delimiter, header in headers.items():
        if set(required) <= set(header):
            return _parse(path, text, delimiter)
    raise DataError(
        f"{path}: the first line must name the columns {', '.join(required)} "
        "(separated by comma, semicolon or tab); it says "
        f"'{listing(headers[DELIMITERS[0]])}'"
    )


def _header(text: str, delimiter: str) -> tuple[str, ...]:
    """Return the first line that is not empty, cell by cell, in lower case."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in cells):
                return tuple(cell.strip().lower() for cell in cells)
    except csv.Error:  # no text at all, for example an image called .csv
        return ()
    return ()


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: broken UTF-16; save it as CSV UTF-8") from error
    return raw.decode("utf-8-sig", "surrogateescape")


def _parse(path: Path, text: str, delimiter: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    rows: list[tuple[int, Mapping[str, str]]] = []
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                titles = tuple(cell.strip() for cell in cells)
                header = tuple(title.lower() for title in titles)
                _check_header(path, header)
            else:
                rows.append((line, _named(path, line, header, cells)))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not valid CSV ({error}); a cell with "
            'the delimiter, a quote or a line break stands in double quotes ("")'
        ) from error
    return Table(path, header, tuple(rows), titles)


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    named = [name for name in header if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {listing(twice)} comes twice in the header")


def _named(
    path: Path, line: int, header: tuple[str, ...], cells: list[str]
) -> Mapping[str, str]:
    extra = [cell for cell in cells[len(header) :] if cell.strip()]
    if extra or len(cells) < len([name for name in header if name]):
        raise DataError(
            f"{path}, line {line}: {len(cells)} cells where the header names "
            f"{len(header)}; a comma inside a name needs double quotes around it"
        )
    return dict(zip(header, cells, strict=False))


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
    near = difflib.get_close_matches(name, table.header, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UsageError(
        f"{table.path}: no column '{shown(wanted)}'{hint}; there are: "
        f"{listing(table.header)}"
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
    part = cells.get("split", "").strip()
    if part and part.lower() not in PART_WORDS:
        raise DataError(
            f"{where}: split '{shown(part)}' is not one of train, validation, test, "
            "unlabeled (or empty)"
        )
    label = label_of(where, cells)
    group = (cells.get(column, "").strip() or None) if column else None
    if group is not None:
        check_name(group, where)
    path = _clean_path(table.path.parent, cells["path"], where)
    return Entry(line, path, label, PART_WORDS.get(part.lower()), group)


def check_name(text: str, where: str) -> None:
    """Refuse a class or group name that no report or JSON file could hold."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError(
            f"{where}: the name '{shown(text)}' is not UTF-8; save the file as CSV "
            "UTF-8, or rename the folder"
        )


def check_label(label: str, where: str) -> None:
    """Refuse a cell or folder name that joins several labels."""
    if "|" in label:
        raise DataError(
            f"{where}: the label '{shown(label)}' names several classes; a manifest's "
            "cell is read so with --multi-label (uda split, uda train) alone: else "
            "give one class per image"
        )


def _clean_path(root: Path, cell: str, where: str) -> str:
    """Return the path in the folder with forward slashes, or raise with the line."""
    if not cell.strip():
        raise DataError(f"{where}: the path is empty; name a file or delete the row")
    if "\\" in cell and not os.path.lexists(root / cell):
        cell = cell.replace("\\", "/")  # written on Windows
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
        f"line {entry.line}: {entry.path}"
        for entry in entries
        if not os.path.isfile(path.parent / entry.path)  # noqa: PTH113
    ]
    if missing:
        hint = ""
        if any(_exists_otherwise(path.parent / entry.path) for entry in entries):
            hint = (
                " (some are there with letters in another Unicode form, as from a "
                "Mac: rename the files, or copy their names from the folder)"
            )
        raise DataError(
            f"{path}: {len(missing)} of {len(entries)} files are missing: "
            f"{listing(missing)}{hint}; paths count from {path.parent}: restore the "
            "files or delete their rows"
        )
