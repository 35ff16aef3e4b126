"""How many labels a draw may see: so many per class, other counts, or a share.

Draws them from as many groups as there are; the rest becomes the unlabelled pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from uda.data.grouping import Facts
from uda.data.partition import draw_per_class
from uda.data.table import listing, shown
from uda.errors import UsageError
from uda.rng import generator

# One number for all classes, or one for each.
Counts = int | Mapping[str, int]


def refuse_bad_counts(counts: Counts | None, classes: Sequence[str]) -> None:
    """Raise a UsageError for counts that no draw of these classes can meet."""
    if counts is None:
        return
    if isinstance(counts, Mapping):
        _refuse_other_classes(counts, classes)
    for name, number in _by_class(counts, classes).items():
        if number < 1:
            where = f"{shown(name)}=" if isinstance(counts, Mapping) else ""
            raise UsageError(
                f"--labels-per-class {where}{number}: give 1 or more, or leave it out "
                "for all labels"
            )


def refuse_bad_share(share: float | None, counts: Counts | None) -> None:
    """Raise a UsageError for a share outside of (0, 1], or one beside counts."""
    if share is None:
        return
    if counts is not None:
        raise UsageError(
            "--labels-share and --labels-per-class both say how many labels there "
            "are; give one of them"
        )
    if not 0.0 < share <= 1.0:
        raise UsageError(
            f"--labels-share {share:g}: give a share above 0, up to 1, of each class's "
            "groups"
        )


def draw_labels(
    facts: Facts,
    candidates: Sequence[str],
    labeled: Mapping[str, str],
    *,
    k: Counts,
    seed: int,
) -> set[str]:
    """Draw images until each class has k labels, from as many units as there are.

    Args:
        facts: of all images; a note is added for each class that falls short of one
            common number.
        candidates: paths of labelled training images that may be drawn.
        labeled: class name by path of the images that are labelled training already.
        k: labels wanted per class.
        seed: the seed; each class draws from its own stream.

    Returns:
        The drawn paths. More labels with the same seed include them. Where an image
        has several labels it counts for all of them, so common classes get more.

    Raises:
        UsageError: a count of its own that a class cannot give.
    """
    if facts.multi_label:
        return _draw_several(facts, candidates, labeled, k=k, seed=seed)
    drawn: set[str] = set()
    for name, wanted in _by_class(k, list(facts.classes)).items():
        mine = _of_class(facts, candidates, name)
        before = [path for path, label in labeled.items() if label == name]
        used = Counter(facts.unit[path] for path in before)
        units = facts.units_of(mine)
        given = np.array([used[unit] for unit in units.tolist()], dtype=np.int64)
        rng = generator(seed, f"split/labels/{name}")
        take = draw_per_class(units, given, wanted - len(before), rng)
        new = [mine[item] for item in take.tolist()]
        if isinstance(k, Mapping):
            _refuse_shortage(name, len(before) + len(new), wanted)
        drawn.update(new)
        _note_shortage(facts, name, len(before) + len(new), wanted)
        _note_alike(facts, name, [*before, *new])
    return drawn


def _draw_several(
    facts: Facts,
    candidates: Sequence[str],
    labeled: Mapping[str, str],
    *,
    k: Counts,
    seed: int,
) -> set[str]:
    """Draw in rounds, the rarest class first: in round j each class reaches j labels.

    So a larger k draws the same images and more, as with one label per image.
    """
    wanted = _by_class(k, list(facts.classes))
    mine = {name: _of_class(facts, candidates, name) for name in wanted}
    names = sorted(wanted, key=lambda name: len(mine[name]))
    have = Counter(n for label in labeled.values() for n in facts.names_in(label))
    queue: dict[str, list[str]] = {}
    for name in names:
        before = [p for p, label in labeled.items() if name in facts.names_in(label)]
        used = Counter(facts.unit[path] for path in before)
        units = facts.units_of(mine[name])
        given = np.array([used[unit] for unit in units.tolist()], dtype=np.int64)
        rng = generator(seed, f"split/labels/{name}")
        order = draw_per_class(units, given, units.size, rng)
        queue[name] = [mine[name][item] for item in order.tolist()]
    drawn: dict[str, None] = {}
    for level in range(1, max(wanted.values()) + 1):
        for name in names:
            left = [p for p in queue[name] if p not in drawn]
            if have[name] < min(level, wanted[name]) and left:
                drawn[left[0]] = None
                have.update(facts.names_in(facts.records[left[0]].label))
    for name in names:
        if isinstance(k, Mapping) and name in k:
            _refuse_shortage(name, have[name], wanted[name])
        _note_shortage(facts, name, have[name], wanted[name])
    return set(drawn)


def draw_share(
    facts: Facts, candidates: Sequence[str], *, share: float, seed: int
) -> set[str]:
    """Draw a share of each class's units, at least one, with all their images.

    So the labels keep the class ratio of the training part. An image of another
    class in a drawn unit is not drawn with it.

    Args:
        facts: of all images; notes are added to it.
        candidates: paths of labelled training images that may be drawn.
        share: of the units of each class, above 0 and up to 1.
        seed: the seed; each class draws from its own stream.

    Returns:
        The drawn paths. A larger share with the same seed includes them.
    """
    drawn: set[str] = set()
    for name in facts.classes:
        mine = _of_class(facts, candidates, name)
        units = list(dict.fromkeys(facts.unit[path] for path in mine))
        if not units:
            continue
        rng = generator(seed, f"split/label-share/{name}")
        order = [units[place] for place in rng.permutation(len(units)).tolist()]
        taken = set(order[: max(1, int(share * len(units) + 0.5))])
        new = [path for path in mine if facts.unit[path] in taken]
        drawn.update(new)
        _note_alike(facts, name, new)
    return drawn


def _by_class(counts: Counts, classes: Sequence[str]) -> dict[str, int]:
    if isinstance(counts, Mapping):
        # Images without any of several classes have no number of their own.
        return {n: counts.get(n, max(counts.values())) for n in classes}
    return dict.fromkeys(classes, counts)


def _refuse_other_classes(counts: Mapping[str, int], classes: Sequence[str]) -> None:
    unknown = [name for name in counts if name not in classes]
    if unknown:
        raise UsageError(
            f"--labels-per-class names classes that the data lack: {listing(unknown)}; "
            f"they have {listing(list(classes))}"
        )
    missing = [name for name in classes if name not in counts]
    if missing:
        raise UsageError(
            f"--labels-per-class gives no number for {listing(missing)}; name each "
            "class, since one without labels cannot be learned"
        )


def _of_class(facts: Facts, paths: Sequence[str], name: str) -> list[str]:
    return [p for p in paths if name in facts.names_in(facts.records[p].label)]


def _refuse_shortage(name: str, found: int, wanted: int) -> None:
    """Refuse a number that was asked for by name and cannot be had."""
    if found < wanted:
        raise UsageError(
            f"--labels-per-class {shown(name)}={wanted}: outside of test and "
            f"validation there are {found} labels of it; ask for fewer, or lower "
            "--test and --validation"
        )


def _note_shortage(facts: Facts, name: str, found: int, wanted: int) -> None:
    if found < wanted:
        facts.notes.append(
            f"class {shown(name)}: {found} labels for training instead of {wanted}; "
            "there are no more outside of test and validation"
        )


def _note_alike(facts: Facts, name: str, paths: Sequence[str]) -> None:
    groups = len({facts.unit[path] for path in paths})
    if groups < len(paths):
        facts.notes.append(
            f"class {shown(name)}: its {len(paths)} labels come from {groups} groups, "
            "so they are alike; label images of further groups"
        )
