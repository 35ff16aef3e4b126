"""Labels that a person filled into a list of images, as `uda suggest` writes it.

A CSV file with the columns path, folder and label. Rows without a label are left as
they are. The split file then carries the labels; no image is moved.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from uda.data.manifest import check_label, check_name
from uda.data.records import Catalog, Record
from uda.data.splitfile import Split
from uda.data.table import as_known, decode_name, listing, read_table, shown
from uda.errors import DataError, UsageError
from uda.files import inside

LABEL_COLUMNS = ("path", "folder", "label")


class Told(NamedTuple):
    """A label that somebody filled in, and where: file and line."""

    label: str
    where: str


class Labeled(NamedTuple):
    """A catalog with more labels.

    Attributes:
        catalog: with the labels, and with the classes that are new.
        paths: of the images that the list has a label for.
        notes: what to tell the user.
    """

    catalog: Catalog
    paths: frozenset[str]
    notes: list[str]


def read_labels(source: Path) -> dict[str, Told]:
    """Return {real path of the image: its label} of the rows that have one.

    Raises:
        DataError: a missing column, folder or image, two labels for one image, several
            labels in one cell; names the line.
    """
    found: dict[str, Told] = {}
    for line, cells in read_table(source, LABEL_COLUMNS).rows:
        label = decode_name(cells["label"].strip())
        if not label:
            continue
        where = f"{shown(source)}, line {line}"
        check_name(label, where)
        check_label(label, where)
        file = _file(source.parent / cells["folder"].strip(), cells["path"], where)
        before = found.setdefault(file, Told(label, where))
        if before.label != label:
            raise DataError(
                f"{where}: {shown(cells['path'])} is called {shown(label)} here and "
                f"{shown(before.label)} in {before.where}; keep one label"
            )
    if not found:
        raise DataError(
            f"{shown(source)}: no label is filled in; write class names into the "
            "column 'label'"
        )
    return found


def _file(folder: Path, path: str, where: str) -> str:
    try:
        file = inside(folder, path)
    except DataError as error:
        raise DataError(f"{where}: {shown(error)}") from error
    if not file.is_file():
        raise DataError(
            f"{where}: there is no file {shown(file)}; the column 'folder' counts from "
            "where the list lies: put the list back there, or restore the image"
        )
    return os.path.realpath(file)


def add_labels(
    catalog: Catalog,
    told: Mapping[str, Told],
    *,
    new_classes: Collection[str] = (),
    coarse: Collection[str] = (),
) -> Labeled:
    """Give a catalog's images the labels of a list.

    Args:
        catalog: its images must be those of the list, and more.
        told: from `read_labels`.
        new_classes: names that no image had so far and that are meant.
        coarse: names of several classes, where there is a tree.

    Raises:
        DataError: an image that is not in the catalog, or that has another label
            there; a label that is no class.
        UsageError: a new class that no row names, or that is not new.
    """
    known = {*catalog.classes, *new_classes, *coarse}
    told = {
        file: answer._replace(label=as_known(answer.label, known))
        for file, answer in told.items()
    }
    _refuse_unknown(catalog, told, known)
    _refuse_without_effect(catalog, told, new_classes)
    records: list[Record] = []
    paths = []
    left = dict(told)
    for record in catalog.records:
        answer = left.pop(os.path.realpath(record.file), None)
        if answer is not None:
            _refuse_other(record, answer)
            paths.append(record.path)
            part = "train" if record.part == "unlabeled" else record.part
            record = replace(record, label=answer.label, part=part, withdrawn=False)
        records.append(record)
    if left:
        file, answer = next(iter(left.items()))
        raise DataError(
            f"{answer.where}: {shown(file)} is none of the data's images ({len(left)} "
            "such rows); give its folder with --unlabeled, as for training"
        )
    counts = Counter(answer.label for answer in told.values())
    notes = [f"{len(told)} labels filled in: {_counted(counts)}"]
    notes += [
        f"the class {shown(name)} is new: validation and test have no image of it, so "
        "that its recall cannot be measured; a split without --extend would have some"
        for name in new_classes
    ]
    classes = tuple(sorted({*catalog.classes, *counts}))
    more = replace(catalog, records=tuple(records), classes=classes)
    return Labeled(more, frozenset(paths), notes)


def labels_of_split(split: Split, catalog: Catalog) -> tuple[Catalog, list[str]]:
    """Give a catalog the labels that only the split file knows.

    Those were filled into a list and taken in by ``uda split --labels``. In a fold such
    an image may be held out: its part says what it is for, so labels of validation and
    test count as well, and no label trains that is not in the part ``labeled``. A label
    that the data withdraw is left out.

    Returns:
        The catalog, and a note where there are such labels.
    """
    bare = {r.path for r in catalog.records if r.label is None and not r.withdrawn}
    rows = {
        row.path: row.label
        for row in split.rows
        if row.part != "unlabeled" and row.path in bare
    }
    if not rows:
        return catalog, []
    records = tuple(
        replace(r, label=rows[r.path]) if r.path in rows else r for r in catalog.records
    )
    names = {name for label in rows.values() for name in catalog.names_in(label)}
    note = (
        f"{len(rows)} labelled images have their label from the split file alone: "
        f"{listing(sorted(rows), 3)}"
    )
    classes = tuple(sorted({*catalog.classes, *names}))
    return replace(catalog, records=records, classes=classes), [note]


def _refuse_unknown(
    catalog: Catalog, told: Mapping[str, Told], known: Collection[str]
) -> None:
    for answer in told.values():
        if answer.label in known:
            continue
        folded = {name.casefold(): name for name in known}
        near = difflib.get_close_matches(answer.label.casefold(), folded, 1)
        hint = f" (did you mean {shown(folded[near[0]])}?)" if near else ""
        raise DataError(
            f"{answer.where}: there is no class {shown(answer.label)}{hint}; there "
            f"are: {listing(catalog.classes)}. If it is a new one, say so with "
            f"--new-class {shown(answer.label)}"
        )


def _refuse_without_effect(
    catalog: Catalog, told: Mapping[str, Told], new_classes: Collection[str]
) -> None:
    named = {answer.label for answer in told.values()}
    for name in new_classes:
        if name in catalog.classes:
            raise UsageError(f"--new-class {name}: there is such a class already")
        if name not in named:
            raise UsageError(f"--new-class {name}: no row of --labels names it")


def _refuse_other(record: Record, answer: Told) -> None:
    if record.label not in (None, answer.label):
        raise DataError(
            f"{answer.where}: {shown(record.path)} is called {shown(answer.label)} "
            f"here, and {shown(record.label)} in the data; correct one of them"
        )


def _counted(counts: Mapping[str, int]) -> str:
    words: Sequence[str] = [f"{shown(name)} {n}" for name, n in sorted(counts.items())]
    return ", ".join(words)
