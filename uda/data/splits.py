"""Draw a split: which image trains, which validates, which tests, by whole groups.

The same seed gives the same split, and the test part does not depend on how many
labels training may see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from uda.data.extension import extend_split
from uda.data.grouping import Facts, gather, row_of
from uda.data.labels import (
    Counts,
    draw_labels,
    draw_share,
    refuse_bad_counts,
    refuse_bad_share,
)
from uda.data.partition import choose_units, count_by_unit
from uda.data.records import Catalog, Record
from uda.data.splitfile import HEADER, PARTS, Progress, Split, SplitRow, ordered
from uda.data.table import listing, shown
from uda.errors import DataError, UsageError
from uda.rng import generator

__all__ = ["HEADER", "PARTS", "Split", "SplitRow", "extend_split", "make_split"]

NO_GROUPS = (
    "no groups were given: only equal files are kept together, leaks were not checked. "
    "Twins (other exposures, overlapping crops) may sit in training and test and make "
    "the numbers too good; --group auto looks for them"
)


def make_split(
    catalog: Catalog,
    groups: Mapping[str, str] | None,
    *,
    labels_per_class: Counts | None = None,
    labels_share: float | None = None,
    validation: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    transductive: bool = False,
    progress: Progress | None = None,
) -> tuple[Split, list[str]]:
    """Draw a grouped, stratified split.

    Whole groups go to training, validation or test; equal files count as one group.
    Parts that the data names itself (train/, val/, test/, the manifest's ``split``)
    stay; a part it does not name is drawn from its training images. When a class has
    too few groups for all, training comes first, then test, then validation. Labels
    for training are drawn per class from as many groups as there are; more labels
    with the same seed are the same ones and further ones.

    Args:
        catalog: the images.
        groups: group by path; None for none. Images it leaves out stand alone.
        labels_per_class: labelled training images of each class, one number or one by
            class; None for all. The rest of training becomes ``unlabeled`` and keeps
            its label in the file, for diagnostics; training reads the labels of
            ``labeled`` alone.
        labels_share: instead of that, the share of each class's training groups whose
            images are labelled, at least one group; keeps the class ratio.
        validation: share of each class for validation, 0 to 1.
        test: share of each class for the test, 0 to 1.
        seed: the seed of all draws.
        transductive: keep the unlabelled images whose group is in validation or test
            (else they are held out: they show the very parts that the test asks for).
        progress: told about hashing.

    Returns:
        The split, and notes in words: held-out images, classes too small for a part,
        options without effect.

    Raises:
        UsageError: for shares or counts that make no sense.
        DataError: when no labelled image is left for training.
    """
    _check_shares(validation, test)
    refuse_bad_counts(labels_per_class, catalog.classes)
    refuse_bad_share(labels_share, labels_per_class)
    facts = gather(catalog, groups, progress=progress)
    if groups is None:
        facts.notes.append(NO_GROUPS)
    sides = _sides(facts, {"test": test, "validation": validation}, seed)
    parts = _assign(facts, sides, transductive=transductive)
    candidates = [path for path, part in parts.items() if part == "labeled"]
    if not candidates:
        raise DataError(
            f"{shown(catalog.root)}: no labelled image is left for training; lower "
            "--test and --validation, or label more images"
        )
    drawn = set(candidates)
    if labels_per_class is not None:
        drawn = draw_labels(facts, candidates, {}, k=labels_per_class, seed=seed)
    elif labels_share is not None:
        drawn = draw_share(facts, candidates, share=labels_share, seed=seed)
    parts.update(dict.fromkeys(set(candidates) - drawn, "unlabeled"))
    rows = [row_of(facts, path, part) for path, part in parts.items()]
    split = Split(ordered(rows))
    _note_small_classes(facts, split, {"test": test, "validation": validation})
    return split, facts.notes


def _check_shares(validation: float, test: float) -> None:
    for name, share in (("validation", validation), ("test", test)):
        if not 0.0 <= share < 1.0:
            raise UsageError(f"--{name} {share:g}: give a share from 0 to below 1")
    if validation + test >= 1.0:
        raise UsageError(
            f"--validation {validation:g} and --test {test:g} leave nothing for "
            "training; their sum must stay below 1"
        )


def _sides(facts: Facts, shares: Mapping[str, float], seed: int) -> dict[int, str]:
    """Return the units of test and validation: those the data names, or drawn ones."""
    sides: dict[int, str] = {}
    named = {side: _named_units(facts, side) for side in shares}
    for side, units in named.items():  # the test first: its rows stay test rows
        for unit in units:
            sides.setdefault(unit, side)
        if units:
            facts.notes.append(
                f"the data names its own {side} part: it is kept, and no share of "
                f"{shares[side]:g} is drawn"
            )
    taken = set(sides)
    free = [p for p, r in facts.records.items() if _is_free(r, facts.unit[p], taken)]
    total = _counts(facts, free).sum(axis=0)
    for side, share in shares.items():
        if not named[side]:
            reserve = 2 if side == "test" and not named["validation"] else 1
            rng = generator(seed, f"split/{side}")
            drawn = _draw_units(facts, free, share * total, reserve, rng)
            sides.update(dict.fromkeys(drawn, side))
            free = [path for path in free if facts.unit[path] not in sides]
    return sides


def _named_units(facts: Facts, side: str) -> set[int]:
    """Return the units with an image of a part that the data names and labels."""
    paths = [path for path, record in facts.records.items() if record.part == side]
    if any(facts.records[path].label is not None for path in paths):
        return {facts.unit[path] for path in paths}
    if paths:
        facts.notes.append(
            f"{len(paths)} images are named {side} but have no label and are held out: "
            f"{listing(paths, 3)}"
        )
    return set()


def _is_free(record: Record, unit: int, taken: set[int]) -> bool:
    """Tell whether an image may go to any part: labelled, named nothing or train."""
    return (
        record.label is not None
        and record.part in (None, "train")
        and unit not in taken
    )


def _counts(facts: Facts, paths: Sequence[str]) -> npt.NDArray[np.int64]:
    shape = (max(facts.unit.values(), default=-1) + 1, len(facts.classes))
    return count_by_unit(facts.units_of(paths), facts.labels_of(paths), shape)


def _draw_units(
    facts: Facts,
    free: Sequence[str],
    wanted: npt.NDArray[np.float64],
    reserve: int,
    rng: np.random.Generator,
) -> list[int]:
    """Draw the units of a part; ``reserve`` of each class stay where there are 3."""
    counts = _counts(facts, free)
    units = (counts > 0).sum(axis=0)
    keep = np.where(units >= 3, reserve, np.minimum(units, 1))
    chosen = choose_units(
        counts, wanted, keep=keep, rng=rng, rarest_first=facts.multi_label
    )
    return np.flatnonzero(chosen).tolist()


def _assign(
    facts: Facts, sides: Mapping[int, str], *, transductive: bool
) -> dict[str, str]:
    """Return each image's part; held-out images are absent and noted."""
    named = {
        side: any(r.part == side and r.label for r in facts.records.values())
        for side in ("test", "validation")
    }
    parts: dict[str, str] = {}
    held: list[str] = []
    for path, record in facts.records.items():
        side = sides.get(facts.unit[path])
        part = _part(record, side, named=side is not None and named[side])
        if part is None and transductive and record.label is None:
            part = "unlabeled"
        if part is None:
            held.append(path)
        else:
            parts[path] = part
    if held:
        facts.notes.append(
            f"{len(held)} images are held out of training, since their part or group "
            f"is test or validation: {listing(sorted(held), 3)}"
            + ("" if transductive else "; --transductive keeps the unlabelled ones")
        )
    return parts


def _part(record: Record, side: str | None, *, named: bool) -> str | None:
    """Return the part of one image, None to hold it out."""
    if side is None:
        if record.label is not None and record.part in (None, "train"):
            return "labeled"
        return "unlabeled" if record.part not in ("test", "validation") else None
    mine = (side,) if named else (None, "train")
    return side if record.label is not None and record.part in mine else None


def _note_small_classes(
    facts: Facts, split: Split, shares: Mapping[str, float]
) -> None:
    """Say which classes a part lacks, and what that costs."""
    costs = {
        "labeled": "they cannot be learned",
        "test": "their recall cannot be measured",
        "validation": "no choice can rest on them",
    }
    for part, cost in costs.items():
        rows = split.part(part)
        there = {name for row in rows for name in facts.names_in(row.label)}
        lacking = [name for name in facts.classes if name not in there]
        if lacking and (rows or shares.get(part, 1.0) > 0):
            sizes = [_size(facts, name) for name in lacking]
            facts.notes.append(
                f"too small for the part {part!r}, so {cost}: {listing(sizes)}; label "
                "images of further parts or photos"
            )


def _size(facts: Facts, name: str) -> str:
    paths = [p for p, r in facts.records.items() if name in facts.names_in(r.label)]
    groups = len({facts.unit[path] for path in paths})
    return f"{name} ({len(paths)} images in {groups} groups)"
