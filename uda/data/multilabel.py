"""Several labels per image: how cells are read, and texts as multi-hot arrays.

A label stays one text everywhere (``Rust|Scratch``, sorted), so that records, split
files and hashes need not know; `members` turns texts into numbers where they count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from uda.data.manifest import RESERVED, LabelOf, check_class, check_name
from uda.data.table import Table, shown
from uda.errors import DataError

SEPARATOR = "|"
# The label of an image that somebody looked at and that shows none of the classes.
# An empty cell says that nobody looked: the image is unlabelled.
NONE = "none"

Ints = npt.NDArray[np.int64]


def split_text(text: str) -> tuple[str, ...]:
    """Return the classes that a label names; ``none`` names no class."""
    return () if text == NONE else tuple(text.split(SEPARATOR))


def join_names(names: Iterable[str]) -> str:
    """Return the one text of some classes: sorted, joined by ``|``, or ``none``."""
    return SEPARATOR.join(sorted(set(names))) or NONE


def class_names(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Return the sorted names of all classes in some labels."""
    return tuple(sorted({n for text in texts if text for n in split_text(text)}))


def members(texts: Sequence[str | None], classes: Sequence[str]) -> Ints:
    """Turn labels into numbers.

    Args:
        texts: (n,) labels; None where the image is unlabelled.
        classes: (C,) names.

    Returns:
        (n, C) int64: 1 where the image shows the class, 0 where not, and -1 in the
        whole row where that is not known.

    Raises:
        KeyError: a label names a class that is not listed.
    """
    number = {name: index for index, name in enumerate(classes)}
    found = np.zeros((len(texts), len(classes)), dtype=np.int64)
    for row, text in enumerate(texts):
        if text is None:
            found[row] = -1
        else:
            found[row, [number[name] for name in split_text(text)]] = 1
    return found


def texts_of(table: npt.ArrayLike, classes: Sequence[str]) -> list[str]:
    """Turn (n, C) rows of 0 and 1 back into labels; a row of -1 gives an empty one."""
    return [
        ""
        if (row < 0).any()
        else join_names(classes[int(c)] for c in np.flatnonzero(row))
        for row in np.asarray(table)
    ]


def counts_of(targets: Ints, num_classes: int) -> Ints:
    """Return (C,) images of each class, from (n,) class numbers or an (n, C) table.

    Numbers of C and more are left out; with several labels an image counts for each.
    """
    if targets.ndim == 2:
        return np.asarray((targets > 0).sum(0), dtype=np.int64)
    return np.bincount(targets, minlength=num_classes)[:num_classes]


def rarest(table: Ints) -> Ints:
    """Return (n,) the rarest class of each image; C for an image without any.

    Draws that are balanced over it see rare classes often, although common ones come
    along with them. Ties go to the class that comes first.

    Args:
        table: (n, C) of 0 and 1.
    """
    counts = table.sum(0)
    rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    ranked = np.where(table > 0, rank, len(counts))
    best = ranked.argmin(1)
    return np.where(table.any(1), best, len(counts)).astype(np.int64)


def label_reader(table: Table, group_column: str | None) -> LabelOf:
    """Return what reads the label of a manifest's row, by the form of the manifest.

    With a column ``label`` its cell holds names joined by ``|``. Without one every
    column but path, split and the group is a class and holds 0 or 1 (or nothing in
    the whole row: unlabelled).

    Raises:
        DataError: neither form: no column of labels and none of classes.
    """
    if "label" in table.header:
        return lambda where, cells: parse_cell(cells["label"], where)
    left_out = {*RESERVED, group_column, ""}
    columns = {
        key: title
        for key, title in zip(table.header, table.titles, strict=True)
        if key not in left_out
    }
    if not columns:
        raise DataError(
            f"{table.path}: the first line names neither a column 'label' (names "
            "joined by |) nor one column per class (0 or 1); add either"
        )
    for title in columns.values():
        _check_class(title, str(table.path))
    return lambda where, cells: parse_columns(cells, columns, where)


def parse_cell(cell: str, where: str) -> str | None:
    """Read ``Rust|Scratch``, ``none`` or an empty cell.

    Raises:
        DataError: an empty name between bars, ``none`` beside a class, or a name
            that no report could hold.
    """
    if not cell.strip():
        return None
    names = [name.strip() for name in cell.split(SEPARATOR)]
    if names == [NONE]:
        return NONE
    for name in names:
        _check_class(name, where)
    return join_names(names)


def parse_columns(
    cells: Mapping[str, str], columns: Mapping[str, str], where: str
) -> str | None:
    """Read one row of class columns.

    Args:
        cells: of the row, by column.
        columns: the class columns and the name of each class.
        where: file and line, for messages.

    Raises:
        DataError: a cell that is neither 0 nor 1, or empty while others are not.
    """
    values = {title: cells.get(key, "").strip() for key, title in columns.items()}
    if not any(values.values()):
        return None
    for title, value in values.items():
        if value not in ("0", "1"):
            raise DataError(
                f"{where}: column '{title}' holds '{value}'; without a column 'label' "
                "every column but path, split and group is a class and holds 0 or 1, "
                "or nothing in the whole row where the image is unlabelled"
            )
    return join_names(title for title, value in values.items() if value == "1")


def _check_class(name: str, where: str) -> None:
    if not name:
        raise DataError(f"{where}: an empty class name between two |; take one | away")
    if name == NONE:
        raise DataError(
            f"{where}: '{NONE}' says that an image shows no class and stands alone; "
            "take it away, or rename the class"
        )
    if SEPARATOR in name:
        raise DataError(f"{where}: the class '{shown(name)}' must not hold a |")
    check_name(name, where)
    check_class(name, where)
