"""A CSV table made by people as text, and names fit for a message.

Delimiter and byte-order mark are sniffed; every complaint names the line.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uda.errors import DataError
from uda.files import spreadsheet_safe

DELIMITERS = (",", ";", "\t")
_SHOWN = 10
_ESCAPED = re.compile(r"\\u(005c|00[01][0-9a-f]|007f|d[89a-f][0-9a-f]{2})")
_ODD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


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


def as_known(name: str, known: Iterable[str]) -> str:
    """Return a name as it is known, where the two differ in their Unicode form alone.

    A Mac's folders are called by letter and accent, a keyboard writes both as one; to
    a reader they are the same.
    """
    form = unicodedata.normalize("NFC", name)
    same = [one for one in known if unicodedata.normalize("NFC", one) == form]
    return name if name in same or len(same) != 1 else same[0]


def encode_name(text: str | None) -> str:
    """Make a name one safe line of UTF-8 that ``decode_name`` gives back exactly."""
    if text is None:
        return ""
    text = text.replace("\\u", "\\u005cu")
    text = _ODD.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return "'" + text if text.startswith("'") else str(spreadsheet_safe(text))


def decode_name(cell: str) -> str:
    """Give back what ``encode_name`` was given."""
    # a single quote that someone typed is theirs: only ours comes before these
    if cell.startswith("'") and cell[1:2] in ("'", "=", "+", "-", "@"):
        cell = cell[1:]
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), cell)


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    named = [name for name in header if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {listing(twice)} comes twice in the header")


def _named(
    path: Path, line: int, header: tuple[str, ...], cells: list[str]
) -> Mapping[str, str]:
    extra = [cell for cell in cells[len(header) :] if cell.strip()]
    short = len(cells) < len([name for name in header if name])
    if extra or short:
        way_out = (
            "add what is missing, be it empty (a,,b)"
            if short
            else "a comma inside a name needs double quotes around it"
        )
        raise DataError(
            f"{path}, line {line}: {len(cells)} cells where the header names "
            f"{len(header)}; {way_out}"
        )
    return dict(zip(header, cells, strict=False))
