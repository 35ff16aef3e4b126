"""What of some images a run has seen, by content and by group.

Copies of a file show one part, whatever their names and groups say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from uda.data.partition import connect
from uda.data.splitfile import EMPTY_SHA256, Split
from uda.data.table import listing
from uda.run.layout import RunFolder

Ints = npt.NDArray[np.int64]
SEEN_PARTS = ("labeled", "unlabeled", "validation")


def seen_parts(run: RunFolder, hashes: Sequence[str]) -> list[str]:
    """Return (N,) the part of each image in the run's split, "" where it knows none.

    Args:
        run: the run.
        hashes: (N,) SHA-256 of each image, "" where it could not be read.
    """
    if not run.split.is_file():
        return [""] * len(hashes)
    # An image that could not be read was in no training, and has no hash.
    rows = [row for row in Split.load(run.split).rows if row.sha256]
    parts = {row.sha256: row.part for row in rows}
    return [parts.get(digest, "") for digest in hashes]


def seen_notes(seen: Sequence[str], names: Sequence[str]) -> list[str]:
    """Say which images were in training, given (N,) their parts, if any were."""
    counts = Counter(seen)
    told = [f"{counts[part]} {part}" for part in SEEN_PARTS if counts[part]]
    if not told:
        return []
    which = [n for n, part in zip(names, seen, strict=True) if part in SEEN_PARTS]
    return [
        f"{len(which)} of its images were in training ({', '.join(told)}): "
        f"{listing(which, 3)}"
    ]


def units_of(groups: Sequence[str], hashes: Sequence[str]) -> Ints:
    """Return (N,) numbers of the parts that images show.

    Those of one group show one part, and so do copies of a file.

    Args:
        groups: (N,) names.
        hashes: (N,) SHA-256; "" joins nothing.
    """
    keys = [
        [("group", group), ("content", digest)]
        if digest and digest != EMPTY_SHA256
        else [("group", group)]
        for group, digest in zip(groups, hashes, strict=True)
    ]
    return connect(keys)


def joined(groups: Sequence[str], units: Ints) -> tuple[list[str], list[str]]:
    """Return (N,) a name for each unit, that of its first group, and what to note."""
    names: dict[int, str] = {}
    for group, unit in zip(groups, units.tolist(), strict=True):
        names.setdefault(unit, group)
    found = [names[unit] for unit in units.tolist()]
    pairs = set(zip(groups, found, strict=True))
    sizes = [size for size in Counter(name for _, name in pairs).values() if size > 1]
    if not sizes:
        return found, []
    note = (
        f"{sum(sizes)} groups hold copies of the same files and count as {len(sizes)}"
    )
    return found, [note]


def of_parts(
    run: RunFolder, parts: Collection[str], groups: Sequence[str], units: Ints
) -> list[bool]:
    """Return (N,) whether an image, or one of its unit, is of a group of some parts."""
    rows = Split.load(run.split).rows
    known = {row.group for row in rows if row.part in parts and row.group}
    places = zip(groups, units.tolist(), strict=True)
    touched = {unit for group, unit in places if group in known}
    return [unit in touched for unit in units.tolist()]
