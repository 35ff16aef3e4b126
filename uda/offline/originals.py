"""The images that an augmented data set starts from, and which may be copied.

Never a test or validation image: what a split or the data names so is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from uda.data.groups import group_column, resolve_groups
from uda.data.labelfile import labels_of_split
from uda.data.records import Catalog, Record, scan
from uda.data.splitfile import hash_files
from uda.data.splits import NO_GROUPS, Split, SplitRow
from uda.data.table import listing, shown
from uda.errors import DataError

Progress = Callable[[str, int, int], None]

PROVENANCE = "provenance.csv"
# What the manifest's column `split` says of each part of a split file.
_HINTS = {
    "labeled": "train",
    "unlabeled": "unlabeled",
    "validation": "validation",
    "test": "test",
}
_NO_SPLIT = (
    "no split was given, so every labelled image counts as training data and may be "
    "copied. A test part drawn from the result would hold copies: draw it first, with "
    "`uda split`, and give it by --split"
)
_DRAWN_LATER = (
    "the data names its test part but no validation part: one that is drawn from the "
    "result will hold copies; draw it first, with `uda split`, and give it by --split"
)


@dataclass(frozen=True)
class Original:
    """One image of the data as it will lie in the new set.

    Attributes:
        path: relative to the new set, with forward slashes.
        record: where it comes from.
        label: class name, or None.
        group: what must stay together, or None.
        part: train, validation, test, unlabeled, or None.
        trains: whether copies may be made of it.
        sha256: of the file's content.
    """

    path: str
    record: Record
    label: str | None
    group: str | None
    part: str | None
    trains: bool
    sha256: str


@dataclass(frozen=True)
class Originals:
    """All images of a new set before copies are added, sorted by path.

    Attributes:
        images: the images.
        classes: all class names, sorted.
        has_split: whether a split file said which part is which.
        notes: what a user must know.
    """

    images: tuple[Original, ...]
    classes: tuple[str, ...]
    has_split: bool
    notes: list[str] = field(default_factory=list)

    def sources(self, label: str) -> list[Original]:
        """Return the images of a class that may be copied."""
        return [image for image in self.images if image.trains and image.label == label]

    def keep_together(self, labels: Sequence[str]) -> Originals:
        """Give each image that gets copies a group: one of its own if it has none."""
        images = tuple(
            replace(image, group=_own_name(image))
            if image.trains and image.group is None and image.label in labels
            else image
            for image in self.images
        )
        return replace(self, images=images)

    def split_rows(self) -> list[SplitRow]:
        """Return the rows of the new set's split file, without the copies."""
        parts = {hint: part for part, hint in _HINTS.items()}
        return [
            SplitRow(i.path, parts[str(i.part)], i.label, i.group, i.sha256)
            for i in self.images
        ]


def _own_name(image: Original) -> str:
    """Return the image's path; where it is not UTF-8, which no group is, its hash."""
    try:
        image.path.encode()
    except UnicodeEncodeError:
        return image.sha256
    return image.path


def read_originals(
    data: Path,
    *,
    split: Path | None = None,
    unlabeled: Sequence[Path] = (),
    group: str | None = None,
    progress: Progress | None = None,
) -> Originals:
    """Find the images of a data set and which of them may be copied.

    Args:
        data: as for `scan`.
        split: a split file: its part ``labeled`` alone may be copied, and images
            that it does not name are left out.
        unlabeled: further folders, as for `scan`.
        group: as for `resolve_groups`; without effect where a split is given.
        progress: told about hashing.

    Raises:
        DataError: a set that holds copies already, images that are missing or not
            what they were when the split was made, or that cannot be read.
        UsageError: for a group column that does not exist.
    """
    column = None if split is not None else group_column(group)
    catalog = scan(data, unlabeled=unlabeled, group_column=column)
    _refuse_copies(catalog)
    if split is None:
        found = _from_catalog(catalog, group, progress)
    else:
        found = _from_split(catalog, split, progress)
    _refuse_spaces(catalog)
    return replace(found, images=tuple(sorted(found.images, key=lambda i: i.path)))


def _refuse_copies(catalog: Catalog) -> None:
    if (catalog.root / PROVENANCE).is_file():
        raise DataError(
            f"{shown(catalog.root)}: holds augmented copies already ({PROVENANCE}); "
            "copies of copies drift away from what is real: augment the original set "
            "with a larger --to-count and another --out"
        )


def _refuse_spaces(catalog: Catalog) -> None:
    odd = [name for name in catalog.classes if name != name.strip()]
    if odd:
        raise DataError(
            f"{shown(catalog.root)}: the class names {listing([repr(n) for n in odd])} "
            "begin or end with a space, which a manifest cannot hold; rename them"
        )


def _from_catalog(
    catalog: Catalog, group: str | None, progress: Progress | None
) -> Originals:
    """Take every image; what the data calls test or validation is left alone."""
    groups = resolve_groups(catalog, group)
    known = groups or {}
    hashes = _hashed(catalog.records, progress)
    place = _Places(catalog)
    images = tuple(
        Original(
            path=place.of(record),
            record=record,
            label=record.label,
            group=known.get(record.path),
            part="unlabeled" if record.prefix else record.part,
            trains=record.label is not None and record.part in (None, "train"),
            sha256=hashes[record.path],
        )
        for record in catalog.records
    )
    notes = [*catalog.notes, *([NO_GROUPS] if groups is None else [])]
    parts = {image.part for image in images if image.label is not None}
    if "test" not in parts:
        notes.append(_NO_SPLIT)
    elif "validation" not in parts:
        notes.append(_DRAWN_LATER)
    return Originals(images, catalog.classes, False, notes)


def _from_split(catalog: Catalog, path: Path, progress: Progress | None) -> Originals:
    split = Split.load(path)
    for part in _HINTS:
        split.records(catalog, part)  # says which are missing, and what to do
    catalog, notes = labels_of_split(split, catalog)
    faults = split.verify(catalog, progress)
    if faults:
        raise DataError(
            f"{shown(path)}: {len(faults)} images are not what the split says: "
            f"{listing(faults, 5)}"
        )
    rest = split.unknown(catalog)
    if rest:
        notes.append(
            f"{len(rest)} images are not in the split file and were left out: "
            f"{listing(rest, 3)}"
        )
    place = _Places(catalog)
    bare = [catalog.by_path[row.path] for row in split.rows if not row.sha256]
    hashes = _hashed(bare, None)
    images = tuple(
        Original(
            path=place.of(catalog.by_path[row.path]),
            record=catalog.by_path[row.path],
            label=row.label,
            group=row.group,
            part=_HINTS[row.part],
            trains=row.part == "labeled",
            sha256=row.sha256 or hashes[row.path],
        )
        for row in split.rows
    )
    return Originals(images, catalog.classes, True, notes)


def _hashed(records: Sequence[Record], progress: Progress | None) -> dict[str, str]:
    hashes = hash_files(records, progress)
    missing = [record.path for record in records if record.path not in hashes]
    if missing:
        raise DataError(
            f"{len(missing)} images cannot be read: {listing(missing, 5)}; restore "
            "them or change their permissions"
        )
    return hashes


class _Places:
    """Where each record lies in the new set: where it lay, extra folders inside."""

    def __init__(self, catalog: Catalog) -> None:
        self._taken = {r.path.split("/", 1)[0] for r in catalog.records if not r.prefix}

    def of(self, record: Record) -> str:
        """Return a record's path; ``@0/a.png`` becomes ``unlabeled_0/a.png``."""
        if not record.prefix:
            return record.path
        folder = f"unlabeled_{record.prefix[1:-1]}"
        while folder in self._taken:
            folder += "_"
        return f"{folder}/{record.path.removeprefix(record.prefix)}"
