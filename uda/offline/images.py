"""Raise every class to a count by augmented copies, in a data set of its own.

The new set holds everything it needs and says where each copy comes from. Each file
is whole or absent, so an interrupted call is finished by repeating it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uda.augment.policy import Policy, PythonPolicy
from uda.data.images import BadImage
from uda.data.manifest import MANIFEST_NAME
from uda.data.preprocessing import detect_value_range, evenly
from uda.data.table import listing
from uda.errors import DataError, UsageError
from uda.files import folder_lock, sha256_file
from uda.offline.copies import Copy, Look, Range, make_copy, pixels, plan_copies
from uda.offline.newset import (
    SPLIT,
    begin,
    copy_originals,
    refuse_foreign,
    refuse_nested,
    unfinished,
    write_tables,
)
from uda.offline.originals import (
    PROVENANCE,
    Original,
    Originals,
    Progress,
    read_originals,
)

_FORMAT = 1
# Images that the mean colour is taken over.
_MEAN_SAMPLE = 500


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        data: the data folder or manifest.
        out: folder of the new set.
        policy: how a copy is made.
        to_count: images that each class shall have.
        seed: same seed, same files.
        split: a split file; its part ``labeled`` alone is copied.
        classes: classes to raise; empty for all.
        unlabeled: further folders of unlabelled images.
        group: what belongs together, as `uda split --group`.
    """

    data: Path
    out: Path
    policy: Policy | PythonPolicy
    to_count: int
    seed: int = 0
    split: Path | None = None
    classes: tuple[str, ...] = ()
    unlabeled: tuple[Path, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class ClassCount:
    """How many training images a class had, gets and has."""

    label: str
    before: int
    copies: int

    @property
    def after(self) -> int:
        """Originals and copies together."""
        return self.before + self.copies


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        classes: one entry per class, sorted by name.
        split: the split file of the new set, or None.
        notes: what a user must know.
        complete: whether all of it was there already.
    """

    classes: tuple[ClassCount, ...]
    split: Path | None
    notes: list[str] = field(default_factory=list)
    complete: bool = field(default=False, compare=False)


def augment_images(request: Request, progress: Progress | None = None) -> Report:
    """Write the new set, or finish one that was interrupted.

    Args:
        request: what is asked for.
        progress: called as ``progress(stage, done, total)``.

    Raises:
        UsageError: nothing to do, unknown classes, a folder that holds something
            else or was made with other options.
        DataError: images that cannot be used, a fault of a Python policy.
    """
    refuse_nested(request.out, request.data, request.unlabeled)
    originals = read_originals(
        request.data,
        split=request.split,
        unlabeled=request.unlabeled,
        group=request.group,
        progress=progress,
    )
    span = detect_value_range([i.record.file for i in originals.images if i.trains])
    usable, notes = _usable(request, originals, span, progress)
    counts = _counts(request, usable)
    raised = [count.label for count in counts if count.copies]
    originals = originals.keep_together(raised)
    state = _state(request, originals)
    refuse_foreign(request.out, state)
    copies = _plan(request, usable, counts)
    _refuse_taken(originals, copies)
    paths = [*(image.path for image in originals.images), *(c.path for c in copies)]
    complete = all((request.out / name).is_file() for name in (MANIFEST_NAME, *paths))
    with unfinished(request.out, paths), folder_lock(request.out):
        begin(request.out, state, request.policy)
        copy_originals(request.out, originals, progress)
        look = Look(_mean(originals, span), span)
        rows, made = _make(request, copies, look, progress)
        write_tables(request.out, originals, copies, rows)
    notes = [*originals.notes, *notes, *_depth(span), *made]
    path = request.out / SPLIT if originals.has_split else None
    return Report(tuple(counts), path, notes, complete)


def _usable(
    request: Request,
    originals: Originals,
    span: Range | None,
    progress: Progress | None,
) -> tuple[dict[str, list[Original]], list[str]]:
    """Return the sources of each class, those that can be decoded where it matters."""
    unknown = [name for name in request.classes if name not in originals.classes]
    if unknown:
        raise UsageError(
            f"--classes {listing(unknown)}: not in the data"
            f"{_meant(unknown, originals.classes)}; its classes are "
            f"{listing(list(originals.classes))}"
        )
    wanted = request.classes or originals.classes
    usable, bad = {}, []
    for label in originals.classes:
        sources = originals.sources(label)
        if label in wanted and len(sources) < request.to_count:
            broken = _broken(sources, span, progress)
            bad += broken
            sources = [image for image in sources if image not in broken]
            _refuse_none(originals, label, sources)
        usable[label] = sources
    if not bad:
        return usable, []
    names = listing([image.path for image in bad], 5)
    return usable, [f"{len(bad)} images cannot be decoded and get no copies: {names}"]


def _meant(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """Return ``" (did you mean 'Rust'?)"`` where every name has a near one."""
    lower = {name.lower(): name for name in classes}
    near = [
        difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
        for name in unknown
    ]
    if not all(near):
        return ""
    return f" (did you mean {', '.join(repr(lower[name]) for (name,) in near)}?)"


def _broken(
    sources: Sequence[Original], span: Range | None, progress: Progress | None
) -> list[Original]:
    # Decoded before anything is written: a bad file must not shift the others' turn.
    broken = []
    for done, image in enumerate(sources, 1):
        try:
            pixels(image, Look((0.0, 0.0, 0.0), span))
        except BadImage:
            broken.append(image)
        if progress is not None:
            progress("read", done, len(sources))
    return broken


def _refuse_none(originals: Originals, label: str, sources: Sequence[Original]) -> None:
    if not sources:
        parts = sorted({str(i.part) for i in originals.images if i.label == label})
        raise DataError(
            f"class {label!r}: no usable training image to copy (its images are in: "
            f"{listing(parts)}); label some for training, or leave it out by --classes"
        )


def _counts(request: Request, usable: dict[str, list[Original]]) -> list[ClassCount]:
    wanted = request.classes or tuple(usable)
    counts = [
        ClassCount(
            label,
            len(sources),
            max(0, request.to_count - len(sources)) if label in wanted else 0,
        )
        for label, sources in usable.items()
    ]
    if not any(count.copies for count in counts):
        said = listing([f"{count.label} {count.before}" for count in counts])
        raise UsageError(
            f"--to-count {request.to_count} has no effect: no class"
            f"{' of --classes' if request.classes else ''} has fewer training images "
            f"({said}); give a larger count"
        )
    return counts


def _state(request: Request, originals: Originals) -> dict[str, Any]:
    """Return what decides the files: a repeat with the same state continues."""
    said = [[i.path, i.label, i.group, i.part, i.sha256] for i in originals.images]
    policy = request.policy
    return {
        "format": _FORMAT,
        "to_count": request.to_count,
        "policy": {"name": policy.name, "fingerprint": policy.fingerprint()},
        "seed": request.seed,
        "classes": sorted(request.classes),
        "images": hashlib.sha256(json.dumps(said).encode()).hexdigest(),
    }


def _mean(originals: Originals, span: Range | None) -> tuple[float, float, float]:
    """Return the mean colour of an even sample of the training images, 0..255."""
    trains = [image for image in originals.images if image.trains]
    look = Look((0.0, 0.0, 0.0), span)
    means = []
    for i in evenly(len(trains), _MEAN_SAMPLE):
        try:
            mean = pixels(trains[i], look).mean(axis=(0, 1), dtype=np.float64)
        except BadImage:
            continue
        means.append(np.broadcast_to(mean, (3,)))
    red, green, blue = np.mean(means, axis=0).tolist()
    return red, green, blue


def _depth(span: Range | None) -> list[str]:
    if span is None:
        return []
    return [
        "some images have more than 8 bits: the policy sees them in 256 steps from "
        f"{span[0]:g} to {span[1]:g} (the training images' range), and their copies "
        "are 16-bit PNG in those steps (8-bit PNG for floating point)"
    ]


def _plan(
    request: Request,
    usable: dict[str, list[Original]],
    counts: Sequence[ClassCount],
) -> list[Copy]:
    return [
        copy
        for count in counts
        if count.copies
        for copy in plan_copies(
            count.label, usable[count.label], count.copies, seed=request.seed
        )
    ]


def _refuse_taken(originals: Originals, copies: Sequence[Copy]) -> None:
    names = {image.path for image in originals.images}
    sources: dict[str, list[str]] = {}
    for copy in copies:
        sources.setdefault(copy.path, []).append(copy.source.path)
    taken = [
        f"{path} (of {' and of '.join(of)})"
        for path, of in sources.items()
        if path in names or len(of) > 1
    ]
    if taken:
        raise DataError(
            f"copies would be called like other images: {listing(taken, 3)}; are these "
            "copies from before? Augment the original images alone, and rename images "
            "that differ only in what follows the dot"
        )


def _make(
    request: Request, copies: Sequence[Copy], look: Look, progress: Progress | None
) -> tuple[list[tuple[object, ...]], list[str]]:
    """Write every copy; return the rows of the provenance table, and notes."""
    rows: list[tuple[object, ...]] = []
    policy = request.policy
    fingerprint = policy.fingerprint()
    same = 0
    contents = set()
    for done, copy in enumerate(copies, 1):
        target = request.out / copy.path
        changed = make_copy(copy, policy, target, seed=request.seed, look=look)
        source, sha256 = copy.source, sha256_file(target)
        same += not changed
        contents.add(sha256)
        rows.append(
            (
                copy.path, source.label, source.path, source.sha256, policy.name,
                fingerprint, request.seed, copy.stream, copy.counter,
                "yes" if changed else "no", sha256,
            )
        )  # fmt: skip
        if progress is not None:
            progress("copies", done, len(copies))
    return rows, _sameness(same, len(copies) - len(contents), len(copies))


def _sameness(same: int, twins: int, total: int) -> list[str]:
    notes = []
    if same == total:
        notes.append(
            "every copy equals its source: the policy changes nothing here, so the "
            "classes are larger in number alone"
        )
    elif same:
        notes.append(
            f"{same} of {total} copies equal their source: the policy drew nothing "
            f"that shows (column 'changed' of {PROVENANCE})"
        )
    if twins and same < total:
        notes.append(f"{twins} of {total} copies equal another copy")
    return notes
