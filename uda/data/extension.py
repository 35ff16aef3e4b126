"""Take new images and labels into an existing split; validation and test stay.

A run that was judged on the old test part can be compared with one that follows.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from uda.data.grouping import Facts, gather, row_of
from uda.data.labels import Counts, draw_labels, refuse_bad_counts
from uda.data.records import Catalog
from uda.data.refresh import FIXED as _FIXED
from uda.data.splitfile import Progress, Split, SplitRow, ordered
from uda.data.table import listing, shown
from uda.errors import DataError

NO_NEW_GROUPS = (
    "no groups were given for the new images: only copies of test images are held out, "
    "leaks were not checked; give --group as for the older split"
)


def extend_split(
    split: Split,
    catalog: Catalog,
    groups: Mapping[str, str] | None,
    *,
    labels_per_class: Counts | None = None,
    seed: int = 0,
    transductive: bool = False,
    told: Collection[str] = (),
    progress: Progress | None = None,
) -> tuple[Split, list[str]]:
    """Add what is new in the data to a split.

    The rows of ``test`` stay as they are, letter by letter, and so do those of
    ``validation`` (unless new groups show that one shares a group with the test: it
    is dropped). New images of their groups never enter training. Images that gained a
    label become ``labeled``; images that were held back stay ``unlabeled``.

    Args:
        split: the older split.
        catalog: the data now.
        groups: group by path, or None; groups of the older split hold as well.
        labels_per_class: with k (one number, or one by class), labels are topped up
            to k per class from new and held-back images, and further new ones are
            held back; None takes all new labels.
        seed: the seed of that draw.
        transductive: keep unlabelled images whose group is in validation or test.
        told: paths of images whose label somebody has just filled in: they count as
            new labels, also where the older split holds them back.
        progress: told about hashing.

    Returns:
        The new split, and notes in words: what came, what went and why.

    Raises:
        UsageError: for ``labels_per_class`` below 1, of other classes, or beyond what
            a class has.
        DataError: images of test or validation are gone, changed or called otherwise;
            ``refresh`` makes a split that follows them.
    """
    refuse_bad_counts(labels_per_class, catalog.classes)
    facts = gather(catalog, groups, old=split.by_path, progress=progress)
    _refuse_odd(facts, split)
    fixed = _fixed_rows(facts, split)
    units = {part: _units(facts, fixed, part) for part in _FIXED}
    held_units = units["test"] | units["validation"]
    parts: dict[str, str] = {}
    held: list[str] = []
    for path in (p for p in facts.records if p not in fixed):
        part = _training_part(facts, path, split.by_path.get(path), path in told)
        outside = facts.unit[path] in held_units
        if outside and transductive and facts.records[path].label is None:
            part, outside = "unlabeled", False
        if outside or part is None:
            held.append(path)
        else:
            parts[path] = part
    _label_new(facts, split, parts, labels_per_class, seed)
    names = _group_names(facts, split)
    rows = [
        replace(row_of(facts, path, part), group=names.get(path))
        for path, part in parts.items()
    ]
    rows = [_with_old_label(row, split.by_path.get(row.path)) for row in rows]
    if groups is None and any(row.path not in split.by_path for row in rows):
        facts.notes.append(NO_NEW_GROUPS)
    _note_changes(facts, split, rows, held)
    return Split(ordered([*fixed.values(), *rows])), facts.notes


def _refuse_odd(facts: Facts, split: Split) -> None:
    """Nothing could be trained on rows that are not so; a wrong Next helps nobody."""
    odd = [row.path for part in _FIXED for row in split.part(part) if _odd(facts, row)]
    if odd:
        raise DataError(
            f"{len(odd)} images of test or validation are missing, changed or labelled "
            f"otherwise now: {listing(odd, 3)}; restore them, or add --refresh: test "
            "and validation then follow the data, and results on them do not compare "
            "with older ones"
        )


def _fixed_rows(facts: Facts, split: Split) -> dict[str, SplitRow]:
    """Return the rows that stay: all of test, and validation apart from its groups."""
    test = {row.path: row for row in split.part("test")}
    tested = {facts.unit[path] for path in test}
    validation = {row.path: row for row in split.part("validation")}
    crossing = [path for path in validation if facts.unit[path] in tested]
    if crossing:
        facts.notes.append(
            f"{len(crossing)} validation images share a group with the test by what is "
            f"known now and were dropped: {listing(crossing, 3)}"
        )
    gone = [p for p in validation if p in facts.records and facts.records[p].withdrawn]
    if gone:
        facts.notes.append(
            f"{len(gone)} validation images lost their label in the data and were "
            f"dropped: {listing(gone, 3)}"
        )
    out = {*crossing, *gone}
    kept = {path: row for path, row in validation.items() if path not in out}
    return {**test, **kept}


def _units(facts: Facts, rows: Mapping[str, SplitRow], part: str) -> set[int]:
    return {facts.unit[path] for path, row in rows.items() if row.part == part}


def _training_part(
    facts: Facts, path: str, old: SplitRow | None, told: bool
) -> str | None:
    """Return ``labeled``, ``new`` (a label nobody used yet), ``unlabeled`` or None."""
    record = facts.records[path]
    if old is not None and old.part == "labeled" and not record.withdrawn:
        return "labeled"
    if record.part in _FIXED or (old is not None and old.part in _FIXED):
        return None  # its part is closed, or it was just dropped from it
    if record.label is None or record.part == "unlabeled":
        return "unlabeled"
    back = old is not None and old.label is not None
    return "unlabeled" if back and not told else "new"


def _label_new(
    facts: Facts, split: Split, parts: dict[str, str], k: Counts | None, seed: int
) -> None:
    """Turn ``new`` into ``labeled``: all of them, or up to k per class."""
    new = [path for path, part in parts.items() if part == "new"]
    if k is None:
        parts.update(dict.fromkeys(new, "labeled"))
        return
    back = [
        p for p, part in parts.items() if part == "unlabeled" and _was_back(split, p)
    ]
    labeled = {
        path: facts.records[path].label or split.by_path[path].label or ""
        for path, part in parts.items()
        if part == "labeled"
    }
    usable = [path for path in back if facts.records[path].label is not None]
    drawn = draw_labels(facts, [*new, *usable], labeled, k=k, seed=seed)
    parts.update({path: "labeled" if path in drawn else "unlabeled" for path in new})
    parts.update(dict.fromkeys(drawn, "labeled"))


def _was_back(split: Split, path: str) -> bool:
    row = split.by_path.get(path)
    return row is not None and row.label is not None


def _group_names(facts: Facts, split: Split) -> dict[str, str]:
    """Return a group name per path, so that equal names mean one unit.

    An old row keeps its name. A new image takes an old name of its unit, else its own
    new name, with ``+`` behind it where an older group of another unit has that name.
    """
    old = {
        row.path: row.group
        for row in split.rows
        if row.group is not None and row.path in facts.records
    }
    owner = {name: facts.unit[path] for path, name in old.items()}
    by_unit: dict[int, str] = {}
    for path in sorted(old, key=lambda path: old[path]):
        by_unit.setdefault(facts.unit[path], old[path])
    names: dict[str, str] = {}
    for path in facts.records:
        name = old.get(path) or by_unit.get(facts.unit[path]) or facts.groups.get(path)
        while (
            name is not None and owner.get(name, facts.unit[path]) != facts.unit[path]
        ):
            name += "+"
        if name is not None:
            names[path] = name
    return names


def _with_old_label(row: SplitRow, old: SplitRow | None) -> SplitRow:
    """A labelled image that lost its label in the data keeps the one it had."""
    if row.label is None and row.part == "labeled" and old is not None:
        return replace(row, label=old.label)
    return row


def _note_changes(
    facts: Facts, split: Split, rows: Sequence[SplitRow], held: Sequence[str]
) -> None:
    """Say what came, what went, and what differs in the parts that stay."""
    before = split.by_path
    came = [row.path for row in rows if row.path not in before]
    gained = [
        r.path for r in rows if r.part == "labeled" and not _labeled(before, r.path)
    ]
    relabeled = [row.path for row in rows if _relabeled(row, before.get(row.path))]
    withdrawn = [
        row.path
        for row in rows
        if row.part == "unlabeled" and _labeled(before, row.path)
    ]
    gone = [
        row.path
        for row in split.rows
        if row.part not in _FIXED and row.path not in facts.records
    ]
    lost = [path for path in held if _labeled(before, path)]
    others = [path for path in held if not _labeled(before, path)]
    _note_new_classes(facts, split, rows)
    said = (
        (came, "new images were added to training"),
        (gained, "images are labelled training now that were not"),
        (relabeled, "training images have another label than before"),
        (withdrawn, "labels were withdrawn: these images train without one now"),
        (gone, "training images are not in the data any more and were dropped"),
        (
            lost,
            "images trained with their label and do so no more, since they belong to a "
            "group of test or validation by what is known now",
        ),
        (
            others,
            "images are held out of training, since their part or group is test or "
            "validation",
        ),
    )
    facts.notes.extend(
        f"{len(paths)} {words}: {listing(sorted(paths), 3)}"
        for paths, words in said
        if paths
    )


def _note_new_classes(facts: Facts, split: Split, rows: Sequence[SplitRow]) -> None:
    """Name labels that the older split does not have: a new class, or a slip."""
    known = {name for row in split.rows for name in facts.names_in(row.label)}
    labels = (row.label for row in rows if row.part == "labeled")
    counts = Counter(name for label in labels for name in facts.names_in(label))
    for name in sorted(set(counts) - known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        slip = f"; is it {shown(near[0])}, misspelt?" if near else ""
        facts.notes.append(
            f"{shown(name)} is a label that the older split does not have: "
            f"{counts[name]} images train with it, and neither validation nor test has "
            f"one, so nobody will measure it{slip}"
        )


def _labeled(rows: Mapping[str, SplitRow], path: str) -> bool:
    return path in rows and rows[path].part == "labeled"


def _relabeled(row: SplitRow, old: SplitRow | None) -> bool:
    return (
        old is not None
        and old.label is not None
        and row.label is not None
        and row.label != old.label
    )


def _odd(facts: Facts, row: SplitRow) -> bool:
    record = facts.records.get(row.path)
    if record is not None and record.withdrawn and row.part == "validation":
        return False  # it is dropped, as the user said
    if record is None or record.label != row.label:
        return True
    return bool(row.sha256) and facts.hashes[row.path] != row.sha256
