"""Records and the Catalog: which images a user has, and what is known of each.

Class folders, ready-made parts, MVTec-like folders, manifests, unlabelled folders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """One image on disk and what the user said about it.

    Attributes:
        path: the image's key in split files and pools: relative to the data root,
            with forward slashes; for an image of the k-th extra unlabelled folder
            outside the data root ``@k/`` and the path in that folder.
        root: the folder that holds it.
        label: class name, verbatim, or None when unlabelled.
        group: what must stay together (part, photo, module), or None.
        part: hint of the layout: train, validation, test, unlabeled or None.
        prefix: the ``@k/`` in front of ``path``, or nothing.
    """

    path: str
    root: Path
    label: str | None = None
    group: str | None = None
    part: str | None = None
    prefix: str = ""

    @property
    def file(self) -> Path:
        """Where the image lies."""
        return self.root / self.path.removeprefix(self.prefix)


@dataclass(frozen=True)
class Catalog:
    """All images of a data set, in a fixed order, with the class names.

    Attributes:
        root: the data folder.
        records: sorted by path, those of extra unlabelled folders last.
        classes: the class names, sorted; a class keeps its place in every split.
        layout: "class folders", "parts", "mvtec" or "manifest".
        notes: what was left out or looks odd, in words.
        columns: the manifest's columns; empty for folders.
    """

    root: Path
    records: tuple[Record, ...]
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @cached_property
    def by_path(self) -> dict[str, Record]:
        """The records by their key."""
        return {record.path: record for record in self.records}

    @property
    def class_counts(self) -> dict[str, int]:
        """Labelled images per class, in the order of ``classes``."""
        counts = Counter(record.label for record in self.records)
        return {name: counts[name] for name in self.classes}

    def groups(self) -> dict[str, str]:
        """Group by path, for the records that have one."""
        return {r.path: r.group for r in self.records if r.group is not None}


def scan(
    data: Path,
    *,
    unlabeled: Sequence[Path] = (),
    group_column: str | None = None,
    min_classes: int = 2,
) -> Catalog:
    """Find the images of a data set; see the module for the layouts."""
    raise NotImplementedError
