"""A list of doubted labels that a person fills in, and the manifest that it makes.

No image is moved and no file of the data is changed: the new labels are a manifest
beside the images, which `uda train` and `uda split` read like any other. It names the
parts of the split it comes from, so the test part stays what it was.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from uda.data.manifest import WITHDRAWN, check_name
from uda.data.records import BESIDE
from uda.data.splitfile import Split
from uda.data.table import (
    as_known,
    decode_name,
    encode_name,
    listing,
    read_table,
    shown,
)
from uda.errors import DataError
from uda.files import atomic_write, write_csv

HEADER = ("path", "label", "suggested", "own_probability", "reason", "new_label")
# Filled in, it takes an image's label away; it trains as an unlabelled one.
NO_LABEL = "unlabeled"
_WORDS = {"labeled": "train", "validation": "validation", "test": "test"}


def write_doubts(path: Path, rows: Iterable[tuple[str, str, str, float, str]]) -> None:
    """Write (path, label, suggested, own probability, reason), and room to fill in."""
    write_csv(
        path,
        HEADER,
        (
            (
                *(encode_name(name) for name in (image, label, suggested)),
                f"{own:.6f}",
                encode_name(reason),
                "",
            )
            for image, label, suggested, own, reason in rows
        ),
    )


def read_new_labels(
    path: Path, split: Split, classes: Sequence[str]
) -> dict[str, str | None]:
    """Return what was filled in: {path: new label}, None where it was withdrawn.

    Rows that are left empty keep their label.

    Raises:
        DataError: an image that is not a labelled one of the split, a label that has
            changed since the list was written, a class that does not exist, or two
            answers for one image; names the line.
    """
    allowed = {**{name: name for name in classes}, NO_LABEL: None}
    answers: dict[str, str] = {}
    for line, cells in read_table(path, ("path", "label", "new_label")).rows:
        new = as_known(decode_name(cells["new_label"].strip()), allowed)
        if not new:
            continue
        name, label = decode_name(cells["path"]), decode_name(cells["label"])
        where = f"{shown(path)}, line {line}: {shown(name)}"
        check_name(new, where)
        row = split.by_path.get(name)
        if row is None or row.part not in ("labeled", "validation"):
            raise DataError(f"{where} is no labelled image of the run's training")
        if row.label != label:
            raise DataError(
                f"{where} has the label {shown(row.label)} in the run and "
                f"{shown(label)} in this list; write it again with `uda relabel`"
            )
        if new not in allowed:
            raise DataError(
                f"{where}: there is no class {shown(new)}; give one of "
                f"{listing(list(classes))}, or {NO_LABEL}"
            )
        if answers.setdefault(name, new) != new:
            raise DataError(
                f"{where} is called {shown(new)} here and {shown(answers[name])} in an "
                "earlier line; keep one answer"
            )
    return {
        name: allowed[new]
        for name, new in answers.items()
        if new != split.by_path[name].label
    }


def write_relabelled(
    path: Path,
    split: Split,
    new_labels: Mapping[str, str | None],
    withdrawn: Collection[str] = (),
) -> None:
    """Write a manifest of the split's images with some new labels.

    Unlabelled images of folders beside the data (``--unlabeled``) are left out: they
    are named again in training. Cells are as they are, not made safe for a
    spreadsheet, so that every path can be found.

    Args:
        path: in the folder that the paths of the split start from.
        split: names the parts and groups.
        new_labels: by path; None takes a label away.
        withdrawn: paths whose label the data took away before.

    Raises:
        DataError: labelled images lie beside the data, where a manifest cannot name
            them: their labels would be lost.
    """
    _refuse_elsewhere(split)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("path", "label", "split", "group"))
    for row in split.rows:
        if BESIDE.fullmatch(row.path):
            continue
        label = new_labels.get(row.path, row.label)
        part = _WORDS.get(row.part)
        if part is None or label is None:
            # A label that was only held back (--labels-per-class) stays known; one
            # that is withdrawn must not come back from an older split.
            gone = row.path in new_labels or row.path in withdrawn
            part = WITHDRAWN if gone else NO_LABEL
        writer.writerow((row.path, label or "", part, row.group or ""))
    atomic_write(path, buffer.getvalue().encode("utf-8", "surrogateescape"))


def labels_beside(split: Split) -> list[str]:
    """Return the labelled images that no manifest in the data folder can name."""
    return [r.path for r in split.rows if BESIDE.fullmatch(r.path) and r.part in _WORDS]


def _refuse_elsewhere(split: Split) -> None:
    """Refuse a split whose labels no manifest of the data can hold."""
    beside = labels_beside(split)
    if beside:
        raise DataError(
            f"{len(beside)} labelled images lie beside the data, in folders given with "
            f"--unlabeled: {listing(beside, 3)}; a manifest in the data folder cannot "
            "name them, and their labels would be lost, so nothing is written. Copy "
            "them into the data folder and train again, or correct labels of theirs in "
            "a copy of the run's split.csv and give that to `uda train --split`"
        )
