"""Which images an evaluation reads: a part of a split, or a folder of classes.

Says what of it the model has seen, and which images show one part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uda.data.groups import group_column, resolve_groups
from uda.data.multilabel import class_names, members
from uda.data.records import Catalog, scan
from uda.data.splitfile import hash_files, unit_of
from uda.data.splits import Split, SplitRow
from uda.data.table import listing
from uda.errors import CheckpointError, DataError, UsageError
from uda.evaluation.locations import group_choice, image_files, image_folder
from uda.evaluation.seen import (
    SEEN_PARTS,
    joined,
    of_parts,
    seen_notes,
    seen_parts,
    units_of,
)
from uda.files import sha256_file
from uda.models.links import Link
from uda.run.layout import RunFolder


@dataclass(frozen=True)
class EvaluationSet:
    """The images of one evaluation.

    Attributes:
        name: of the folder for the results, such as ``test``.
        files: (N,) id and path of each image.
        targets: (N,) int64 true classes, -1 where unknown; of a model of several
            labels (N, C) of 0 and 1.
        groups: (N,) which images belong together.
        notes: what a reader of the numbers must know.
        reads_test: whether images of the run's test part are among them.
        source: what was read, where that is not a part of the run's own split.
    """

    name: str
    files: list[tuple[str, Path]]
    targets: npt.NDArray[np.int64]
    groups: list[str]
    notes: list[str] = field(default_factory=list)
    reads_test: bool = False
    source: str = ""


def split_part(
    run: RunFolder,
    classes: Sequence[str],
    part: str,
    *,
    data: Path | None = None,
    split: Path | None = None,
    link: Link = "softmax",
) -> EvaluationSet:
    """Return one part of a split file, checked against its hashes.

    Args:
        run: the run.
        classes: (C,) class names of its model.
        part: ``test`` or ``validation``.
        data: the data folder; None for the one that the run remembers.
        split: another split file; None for the run's own.
        link: "sigmoid" where an image may have several labels.

    Raises:
        DataError: an empty part, images missing or changed, unknown classes.
    """
    path = run.split if split is None else split
    root = image_folder(run, data)
    if not root.is_dir():
        if data is not None:
            raise DataError(f"{data}: there is no such folder; mend the path")
        raise DataError(
            f"{root}: the run's data folder is not there; say where it is now: "
            f"`uda evaluate {run.path} DATA --split {path} --part {part}`, other "
            "commands have DATA or --data as well"
        )
    rows = Split.load(path).part(part)
    if not rows:
        raise DataError(f"{path}: has no images in the part {part!r}")
    names = [row.path for row in rows]
    files = list(zip(names, image_files(run, names, data), strict=True))
    _refuse_changed(rows, files, path)
    seen = [] if split is None else seen_parts(run, _hashes(rows, files))
    return EvaluationSet(
        name=part if split is None else f"{part}-{path.stem}",
        files=files,
        targets=_targets([row.label for row in rows], classes, path, link),
        groups=[row.unit for row in rows],
        notes=seen_notes(seen, names),
        reads_test=part == "test" if split is None else "test" in seen,
        source="" if split is None else str(split.resolve()),
    )


def class_folder(
    run: RunFolder,
    classes: Sequence[str],
    data: Path,
    *,
    allow_seen: bool = False,
    group: str | None = None,
    link: Link = "softmax",
) -> EvaluationSet:
    """Return all labelled images of a folder, compared with the training's.

    Args:
        run: the run.
        classes: (C,) class names of its model.
        data: class folders, or a manifest.
        allow_seen: take images that the model was trained on.
        group: which images belong together: a column of the manifest, ``auto``,
            ``none``; None for what ``--group`` of `uda train` was.
        link: "sigmoid" where an image may have several labels.

    Raises:
        DataError: no labelled images, or classes that the model does not know.
        UsageError: the model was trained on some, and ``allow_seen`` is off; or no
            such column.
    """
    images, hashes = _folder(run, classes, data, group, link)
    names = [name for name, _ in images.files]
    notes = seen_notes(seen_parts(run, hashes), names)
    if notes and not allow_seen:
        raise UsageError(
            f"{data}: {notes[0]}; leave DATA out to read the run's own test part, give "
            "other images, or accept it with --allow-seen"
        )
    units = units_of(images.groups, hashes)
    if not run.split.is_file():
        notes.append(f"{run.split.name} is missing: what was in training is unknown")
    else:
        shared = sum(of_parts(run, SEEN_PARTS, images.groups, units))
        notes += [f"{shared} images are of groups that were in training"] * (shared > 0)
        notes += _grouping_notes(run, images, group)
    groups, told = joined(images.groups, units)
    return replace(images, groups=groups, notes=[*notes, *told])


def unseen_folder(
    run: RunFolder, classes: Sequence[str], data: Path, group: str | None = None
) -> EvaluationSet:
    """Return the labelled images of a folder of whose groups the run knows none.

    Images of a group that training had are left out, and noted; so are those of the
    test part's groups: a rule that is fitted on them has no test part left.

    Args:
        run: the run.
        classes: (C,) class names of its model.
        data: class folders, or a manifest.
        group: as for `class_folder`.

    Raises:
        CheckpointError: the run's split file is missing, so nobody knows.
        UsageError: images of the training or of the test part are among them, or the
            run's images have groups and these have none.
        DataError: see `class_folder`; or nothing is left.
    """
    if not run.split.is_file():
        raise CheckpointError(
            f"{run.split}: missing, so what was in training is unknown; copy the run "
            "folder again"
        )
    images, hashes = _folder(run, classes, data, group, "softmax")
    names = [name for name, _ in images.files]
    if notes := seen_notes(seen_parts(run, hashes), names):
        raise UsageError(
            f"{data}: {notes[0]}; give labelled images that the run never saw, "
            "or leave DATA out to fit on its validation part"
        )
    if images.reads_test:
        raise UsageError(
            f"{data}: images of the run's test part are among them; fitted on them, a "
            "rule has no test part left. Give other images"
        )
    if notes := _grouping_notes(run, images, group):
        raise UsageError(
            f"{data}: {notes[0]}. Say which belong together: --group COLUMN of a "
            "manifest, --group auto to look for twins, or --group none where no two "
            "show one part"
        )
    return _of_unknown_groups(run, images, hashes, data)


def _of_unknown_groups(
    run: RunFolder, images: EvaluationSet, hashes: Sequence[str], data: Path
) -> EvaluationSet:
    """Leave out the images of groups that the run knows, and note how many."""
    units = units_of(images.groups, hashes)
    groups, notes = joined(images.groups, units)
    taught = of_parts(run, SEEN_PARTS, images.groups, units)
    tested = of_parts(run, ("test",), images.groups, units)
    kept = [row for row in range(len(groups)) if not taught[row] and not tested[row]]
    if not kept:
        raise DataError(
            f"{data}: all its images are of groups that were in training or are in the "
            "test part; give images of other parts"
        )
    left_out = (
        (sum(taught), "groups that were in training"),
        (len(groups) - len(kept) - sum(taught), "groups of the run's test part"),
    )
    notes += [f"{n} images are of {what} and are left out" for n, what in left_out if n]
    return replace(
        images,
        files=[images.files[row] for row in kept],
        targets=images.targets[kept],
        groups=[groups[row] for row in kept],
        notes=notes,
    )


def _folder(
    run: RunFolder, classes: Sequence[str], data: Path, group: str | None, link: Link
) -> tuple[EvaluationSet, list[str]]:
    """Return the labelled images of DATA, and (N,) their SHA-256, "" if unreadable."""
    catalog, choice = _scan(run, data, group, several=link == "sigmoid")
    records = [record for record in catalog.records if record.label is not None]
    if not records:
        raise DataError(
            f"{data}: no labelled images; lay them out as one folder per class, or "
            "classify them with `uda predict`"
        )
    named = resolve_groups(catalog, choice) or {}
    if choice == "auto":
        # Groups that are found have numbers; those of the training are others.
        given = set(catalog.groups().values())
        named = {
            path: name if name in given else f"\0{name}" for path, name in named.items()
        }
    targets = _targets([record.label for record in records], classes, data, link)
    found = hash_files(records)
    hashes = [found.get(record.path, "") for record in records]
    whole = data.resolve()
    images = EvaluationSet(
        name=f"data-{whole.name if whole.is_dir() else whole.stem}",
        files=[(record.path, record.file) for record in records],
        targets=targets,
        groups=[unit_of(named.get(record.path), record.path) for record in records],
        reads_test="test" in seen_parts(run, hashes),
        source=str(whole),
    )
    return images, hashes


def _scan(
    run: RunFolder, data: Path, group: str | None, *, several: bool
) -> tuple[Catalog, str | None]:
    """Scan DATA; return how its images are grouped, too."""
    own = group_choice(run) if group is None else group
    column = group_column(own)
    if group is None and column is not None:
        try:
            return scan(
                data, min_classes=0, group_column=column, multi_label=several
            ), own
        except UsageError:  # these data have no such column
            own = column = None
    catalog = scan(data, min_classes=0, group_column=column, multi_label=several)
    return catalog, own


def _grouping_notes(
    run: RunFolder, images: EvaluationSet, group: str | None
) -> list[str]:
    """Say so where images of one part may count as several."""
    shared = len(set(images.groups)) < len(images.groups)
    if (
        group is not None
        or shared
        or not all(n.startswith("\0") for n in images.groups)
    ):
        return []
    rows = [row for row in Split.load(run.split).rows if row.label and row.group]
    if len(rows) == len({row.group for row in rows}):
        return []
    return [
        "nothing says which of its images show one part, as the run's own data did; "
        "if several do, they count as several parts"
    ]


def _targets(
    labels: Sequence[str | None],
    classes: Sequence[str],
    source: Path,
    link: Link,
) -> npt.NDArray[np.int64]:
    number = {name: index for index, name in enumerate(classes)}
    several = link == "sigmoid"
    named = class_names(labels) if several else {label for label in labels if label}
    unknown = sorted(set(named) - set(number))
    if unknown:
        raise DataError(
            f"{source}: classes that the model does not know: {listing(unknown)}; it "
            f"knows {listing(list(classes))}; rename the folders or take them away"
        )
    if several:
        return members(labels, classes)
    return np.array([number[label] if label else -1 for label in labels], np.int64)


def _refuse_changed(
    rows: Sequence[SplitRow], files: Sequence[tuple[str, Path]], split: Path
) -> None:
    missing = [name for name, path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{split}: {len(missing)} of its images are missing: {listing(missing)}; "
            "restore them, give the right data folder as DATA, or let the split follow "
            f"(`uda split DATA --extend {split} --refresh --out NEW`) and train again"
        )
    changed = [
        row.path
        for row, (_, path) in zip(rows, files, strict=True)
        if row.sha256 and sha256_file(path) != row.sha256
    ]
    if changed:
        raise DataError(
            f"{split}: {len(changed)} images are not what they were when the split "
            f"was made: {listing(changed)}; restore them, or let the split follow them "
            f"(`uda split DATA --extend {split} --refresh --out NEW`) and train again"
        )


def _hashes(rows: Sequence[SplitRow], files: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the SHA-256 of each file, also where the split does not say it."""
    return [
        row.sha256 or sha256_file(path)
        for row, (_, path) in zip(rows, files, strict=True)
    ]
