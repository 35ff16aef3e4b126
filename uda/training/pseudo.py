"""Pseudo-labels as a file: images that train as if they were labelled, and say so.

The split file stays as it is: there these images are unlabelled, and so they are to
every other command. A run that uses such a file keeps a copy beside its split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from uda.data.splitfile import Split
from uda.data.table import decode_name, encode_name, read_table, shown
from uda.errors import DataError
from uda.files import write_csv

HEADER = ("path", "class", "confidence", "generation")


def write_pseudo_labels(
    path: Path, rows: Iterable[tuple[str, str, float]], *, generation: int
) -> None:
    """Write (path, class, confidence) with the generation that guessed them."""
    write_csv(
        path,
        HEADER,
        (
            (encode_name(name), encode_name(label), f"{confidence:.6f}", generation)
            for name, label, confidence in rows
        ),
    )


def read_pseudo_labels(
    path: str | None, split: Split, classes: Sequence[str]
) -> dict[str, int]:
    """Return {path: class index}; nothing without a file.

    Raises:
        DataError: an image that is not an unlabelled one of the split, or a class
            that does not exist; names the line.
    """
    if path is None:
        return {}
    number = {name: index for index, name in enumerate(classes)}
    found: dict[str, int] = {}
    for line, cells in read_table(Path(path), HEADER[:2]).rows:
        name, label = decode_name(cells["path"]), decode_name(cells["class"])
        where = f"{shown(path)}, line {line}: {shown(name)}"
        row = split.by_path.get(name)
        if row is None or row.part != "unlabeled":
            part = "not in the split" if row is None else f"in the part {row.part!r}"
            raise DataError(
                f"{where} is {part}; only unlabelled images can have pseudo-labels"
            )
        if label not in number:
            raise DataError(f"{where}: there is no class {shown(label)}")
        found[name] = number[label]
    return found
