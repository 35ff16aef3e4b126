"""The split: which image trains, which validates, which tests; a file, never a mood.

No group is in two of training, validation and test, so that no number is a lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from uda.data.records import Catalog

PARTS = ("labeled", "unlabeled", "validation", "test")
HEADER = ("path", "part", "label", "group", "sha256")


@dataclass(frozen=True)
class SplitRow:
    """One image: its catalog path, part, label, group and content hash."""

    path: str
    part: str
    label: str | None
    group: str | None
    sha256: str


@dataclass(frozen=True)
class Split:
    """The rows of a split file."""

    rows: tuple[SplitRow, ...]

    def part(self, name: str) -> tuple[SplitRow, ...]:
        """Return the rows of one part."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the file; refuse to overwrite one."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read and check a split file."""
        raise NotImplementedError

    def verify(self, catalog: Catalog) -> list[str]:
        """Return what is missing or changed since the split was written."""
        raise NotImplementedError


def make_split(
    catalog: Catalog,
    groups: Mapping[str, str] | None,
    *,
    labels_per_class: int | None = None,
    validation: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    transductive: bool = False,
) -> tuple[Split, list[str]]:
    """Draw a grouped, stratified split; returns it with notes."""
    raise NotImplementedError


def extend_split(
    split: Split,
    catalog: Catalog,
    groups: Mapping[str, str] | None,
    *,
    labels_per_class: int | None = None,
    seed: int = 0,
    transductive: bool = False,
) -> tuple[Split, list[str]]:
    """Add new images and labels to a split; validation and test stay."""
    raise NotImplementedError
