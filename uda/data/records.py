"""Records and the Catalog: which images a user has, and what is known of each.

Class folders, ready-made parts, MVTec-like folders, manifests, unlabelled folders.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from uda.data.chosen import Chosen, chosen_folders
from uda.data.folders import find_images, read_layout
from uda.data.images import SUFFIXES
from uda.data.manifest import GROUP_WORDS, MANIFEST_NAME, read_manifest
from uda.data.multilabel import SEPARATOR, class_names, label_reader, split_text
from uda.data.table import listing, shown
from uda.errors import DataError, UsageError
from uda.words import did_you_mean

EXPECTED = (
    "expected a folder with one folder per class (DATA/Good/1.png), or train/ val/ "
    "test/ with class folders inside, or a manifest.csv (path,label[,split][,group])"
)

# Names of a folder's manifest, in any letters.
_MANIFESTS = frozenset((MANIFEST_NAME, "manifest.tsv"))

# Paths of images beside the data: @k/PATH, of the k-th folder of unlabelled ones.
BESIDE = re.compile(r"@(\d+)/(.+)", re.DOTALL)


@dataclass(frozen=True)
class Record:
    """One image on disk and what the user said about it.

    Attributes:
        path: the image's key in split files and pools: relative to the data root,
            with forward slashes; for an image of the k-th extra unlabelled folder
            outside the data root ``@k/`` and the path in that folder.
        root: the folder that holds it.
        label: class name, verbatim, or None when unlabelled; of several classes
            one text, see ``multilabel``.
        group: what must stay together (part, photo, module), or None.
        part: hint of the layout: train, validation, test, unlabeled or None.
        prefix: the ``@k/`` in front of ``path``, or nothing.
        withdrawn: the data say that a label which an older split knows counts no more.
    """

    path: str
    root: Path
    label: str | None = None
    group: str | None = None
    part: str | None = None
    prefix: str = ""
    withdrawn: bool = False

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
        multi_label: whether a label may name several classes, or none.
    """

    root: Path
    records: tuple[Record, ...]
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    multi_label: bool = False

    @cached_property
    def by_path(self) -> dict[str, Record]:
        """The records by their key."""
        return {record.path: record for record in self.records}

    @property
    def class_counts(self) -> dict[str, int]:
        """Labelled images per class, in the order of ``classes``."""
        counts = Counter(
            name for record in self.records for name in self.names_in(record.label)
        )
        return {name: counts[name] for name in self.classes}

    def names_in(self, label: str | None) -> tuple[str, ...]:
        """Return the classes that a label names; one, unless ``multi_label``."""
        if label is None:
            return ()
        return split_text(label) if self.multi_label else (label,)

    def groups(self) -> dict[str, str]:
        """Group by path, for the records that have one."""
        return {r.path: r.group for r in self.records if r.group is not None}


def scan(
    data: Path,
    *,
    unlabeled: Sequence[Path] = (),
    group_column: str | None = None,
    min_classes: int = 2,
    multi_label: bool = False,
) -> Catalog:
    """Find the images of a data set and what is known of each.

    Layouts, tried in this order: a manifest (a .csv file, or a folder that holds
    ``manifest.csv``); MVTec-like parts (``train/good``, ``test/DEFECT``, where
    ``ground_truth`` is ignored and the parts are to be drawn anew, as training has
    one class only); parts (``train``, ``val``, ``test`` with class folders inside,
    ``unlabeled`` with anything; class folders beside ``test`` where there is no
    ``train``); class folders. Class folders may nest.

    Args:
        data: the data folder or the manifest.
        unlabeled: further folders of unlabelled images at any depth, or lists of
            such images (see ``chosen``). Inside the data root they are not read as
            classes; outside their images are called ``@k/PATH``, k being the folder's
            place in this list.
        group_column: the manifest's column of groups (default: ``group`` if any).
        min_classes: fewer classes than this are an error; 0 for unlabelled sets.
        multi_label: read several labels per image; from a manifest alone.

    Returns:
        The catalog; files are listed, none is opened but the manifest.

    Raises:
        DataError: for an unknown layout, a folder without images or with too few
            classes, a wrong manifest; says what was found and what is expected.
        UsageError: for a group column that does not exist, or several labels per
            image without a manifest.
    """
    data = Path(data)
    root = data if data.is_dir() else data.parent
    home = root.resolve()
    extras = chosen_folders(unlabeled)
    inner = [extra.folder for extra in extras if extra.folder.is_relative_to(home)]
    how = _How(group_column, multi_label)
    draft = _read(data, skip=inner, how=how)
    _add_extras(draft, root, extras)
    labels = {r.label for r in draft.records if r.label is not None}
    classes = class_names(labels) if multi_label else tuple(sorted(labels))
    _check_classes(data, classes, draft, min_classes)
    draft.notes.extend(_joined_by_blanks(labels) if multi_label else ())
    draft.notes.extend(_look_alikes(classes))
    return Catalog(
        root=root,
        records=tuple(draft.records),
        classes=classes,
        layout=draft.layout,
        notes=tuple(draft.notes),
        columns=draft.columns,
        multi_label=multi_label,
    )


@dataclass(frozen=True)
class _How:
    """How a manifest is to be read."""

    group_column: str | None
    multi_label: bool


@dataclass
class _Draft:
    """A catalog in the making."""

    layout: str
    records: list[Record]
    notes: list[str]
    columns: tuple[str, ...] = ()


def _read(data: Path, *, skip: Sequence[Path], how: _How) -> _Draft:
    if data.is_dir():
        if (manifest := _manifest_in(data)) is not None:
            draft = _from_manifest(manifest, how)
            _note_unnamed(draft, data, skip)
            return draft
        _refuse_without_manifest(data, how)
        layout = read_layout(find_images(data, skip=skip))
        records = [
            Record(p, data, label, part=part) for p, label, part in layout.images
        ]
        return _Draft(layout.name, records, layout.notes)
    if not data.exists():
        raise DataError(f"{shown(data)}: there is no such file or folder")
    if data.suffix.lower() not in (".csv", ".tsv"):
        raise DataError(
            f"{shown(data)}: neither a folder nor a .csv manifest; {EXPECTED}"
        )
    return _from_manifest(data, how)


def _joined_by_blanks(labels: Collection[str]) -> list[str]:
    """Note labels that look like several classes with blanks in between."""
    words = {label: label.split() for label in labels}
    common = Counter(word for found in words.values() for word in set(found))
    joined = [
        label
        for label, found in sorted(words.items())
        if len(found) > 1 and all(common[word] > 1 for word in found)
    ]
    if not joined or any(SEPARATOR in label for label in labels):
        return []
    label = joined[0]
    return [
        f"{shown(label)} is one class, as are {len(joined)} such labels; if it names "
        f"{len(words[label])}, write {shown(SEPARATOR.join(words[label]))}"
    ]


def _manifest_in(folder: Path) -> Path | None:
    """Return a folder's manifest, however its name is written."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  (names may be no UTF-8)
    except OSError:  # said with its reason where the images are looked for
        return None
    files = [folder / name for name in names if name.lower() in _MANIFESTS]
    found = [path for path in files if path.is_file()]
    if len(found) > 1:
        raise DataError(
            f"{shown(folder)}: has {listing([path.name for path in found])}, and one "
            "of them would be ignored; keep one, or give the file itself"
        )
    return found[0] if found else None


def _refuse_without_manifest(data: Path, how: _How) -> None:
    if how.group_column is not None:
        hint = did_you_mean(how.group_column, GROUP_WORDS)
        raise UsageError(
            f"{shown(data)}: group column '{shown(how.group_column)}'{hint} needs a "
            f"{MANIFEST_NAME} (path,label,{shown(how.group_column)}) in this folder"
        )
    if how.multi_label:
        raise UsageError(
            f"{shown(data)}: --multi-label needs a {MANIFEST_NAME} in this folder "
            "(path,label with names joined by |, or path and one column per class): a "
            "folder can name one class alone"
        )


def _from_manifest(path: Path, how: _How) -> _Draft:
    manifest = read_manifest(
        path,
        group_column=how.group_column,
        labels=label_reader if how.multi_label else None,
    )
    records = [
        Record(e.path, path.parent, e.label, e.group, e.part, withdrawn=e.withdrawn)
        for e in manifest.entries
    ]
    records.sort(key=lambda record: record.path)
    return _Draft("manifest", records, list(manifest.notes), manifest.columns)


def _note_unnamed(draft: _Draft, data: Path, skip: Sequence[Path]) -> None:
    """Note the images of a folder that its manifest does not name."""
    named = {record.path for record in draft.records}
    rest = [p for p in find_images(data, skip=skip).images if p not in named]
    if rest:
        draft.notes.append(
            f"{len(rest)} images in {shown(data)} are not in {MANIFEST_NAME} and were "
            f"left out: {listing(rest, 5)}; --unlabeled DIR adds a folder"
        )


def _add_extras(draft: _Draft, root: Path, extras: Sequence[Chosen]) -> None:
    """Append the images of further folders, each file once."""
    home = root.resolve()
    known = {os.path.realpath(record.file) for record in draft.records}
    keys = {record.path for record in draft.records}
    for number, extra in enumerate(extras):
        folder = extra.folder
        inner = folder.is_relative_to(home)
        prefix = "" if inner else f"@{number}/"
        base = folder.relative_to(home).as_posix() + "/" if inner else prefix
        base = base.removeprefix("./")
        # the data itself, when it lies in the folder, is not unlabelled
        found = extra.find(skip=() if inner else (home,))
        if not found.images:
            raise DataError(
                f"{shown(folder)}: no images for --unlabeled; expected files ending in "
                f"{', '.join(sorted(SUFFIXES))} at any depth"
            )
        new = [p for p in found.images if os.path.realpath(folder / p) not in known]
        if len(new) < len(found.images):
            draft.notes.append(
                f"{len(found.images) - len(new)} images of {shown(folder)} are in the "
                "data already and count once"
            )
        _refuse_taken(keys, [base + path for path in new])
        known.update(os.path.realpath(folder / path) for path in new)
        keys.update(base + path for path in new)
        draft.records.extend(
            Record(base + path, root if inner else folder, prefix=prefix)
            for path in new
        )
        draft.notes.extend(found.notes())


def _refuse_taken(keys: set[str], new: Sequence[str]) -> None:
    taken = [path for path in new if path in keys]
    if taken:
        raise DataError(
            f"{listing(taken, 3)}: this name stands for an extra unlabelled folder, "
            "but the data holds it too; rename the data's folder that begins with @"
        )


def _check_classes(
    data: Path, classes: Sequence[str], draft: _Draft, min_classes: int
) -> None:
    if len(classes) >= min_classes:
        return
    if not classes:
        what = f"no labelled image ({len(draft.records)} unlabelled)"
    else:
        what = f"only the class '{shown(classes[0])}'"
        what = what if len(classes) == 1 else f"only the classes {listing(classes)}"
    seen = f" Seen: {'; '.join(draft.notes)}." if draft.notes else ""
    raise DataError(
        f"{shown(data)}: {what}, at least {min_classes} classes are needed; "
        f"{EXPECTED}.{seen}"
    )


def _look_alikes(classes: Sequence[str]) -> list[str]:
    """Note class names that differ in case, spaces or Unicode form alone."""
    folded: dict[str, list[str]] = {}
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold()
        folded.setdefault("".join(plain.split()), []).append(name)
    return [
        f"the classes {listing([ascii(n) for n in names])} differ in case, spaces or "
        "the way that letters are encoded alone; are they one class?"
        for names in folded.values()
        if len(names) > 1
    ]
