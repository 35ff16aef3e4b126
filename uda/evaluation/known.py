"""Which images a run knows the labels of: what it was trained, checked or tested on.

A run remembers where its data are; its split file says which part each image is in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from uda.data.records import Record, scan
from uda.data.splitfile import Split
from uda.data.table import listing
from uda.errors import DataError
from uda.evaluation.locations import data_root, unlabeled_folders
from uda.run.layout import RunFolder

_PARTS = ("labeled", "validation", "test")


@dataclass(frozen=True)
class Known:
    """The images of a run that have a label.

    Attributes:
        records: those that are there.
        parts: (N,) ``labeled``, ``validation`` or ``test``.
        counts: labelled training images by class.
        hashes: SHA-256 of all of them, also of those that are gone.
    """

    records: tuple[Record, ...]
    parts: tuple[str, ...]
    counts: Mapping[str, int]
    hashes: frozenset[str]

    @property
    def taught(self) -> list[int]:
        """Places of the images whose label one may look at: all but the test's."""
        return [i for i, part in enumerate(self.parts) if part != "test"]


def known_images(run: RunFolder) -> Known:
    """Find the labelled images of a run.

    Raises:
        CheckpointError: the run's configuration cannot be read.
        DataError: the data or the split are not there, or training images are gone.
    """
    root, unlabeled = data_root(run), unlabeled_folders(run)
    split = Split.load(run.split)
    # Only where the images lie is asked here: the split knows their labels.
    catalog = scan(root, unlabeled=unlabeled, min_classes=0)
    rows = [row for part in _PARTS for row in split.part(part)]
    gone = [r.path for r in split.part("labeled") if r.path not in catalog.by_path]
    if gone:
        raise DataError(
            f"{len(gone)} images that the run was trained on are not in {root}: "
            f"{listing(gone, 3)}; put them back: what is labelled already cannot be "
            "told without them"
        )
    there = [row for row in rows if row.path in catalog.by_path]
    counts = Counter(str(row.label) for row in split.part("labeled"))
    return Known(
        tuple(catalog.by_path[row.path] for row in there),
        tuple(row.part for row in there),
        counts,
        frozenset(row.sha256 for row in rows if row.sha256),
    )
