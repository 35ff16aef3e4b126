"""Counts of an inspection: per class and part, what they prove, what clashes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from uda.data.duplicates import Groups
from uda.data.records import Catalog, Record
from uda.inspect import numbers

UNLABELLED, NO_CLASS = "(unlabelled)", "(no class)"
LISTED = 200  # of each kind, in inspect.json


def counts_per_part(catalog: Catalog) -> dict[str, dict[str, int]]:
    """Return images per class and per part of the layout ("all" without parts)."""
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in catalog.records:
        for name in names_of(catalog, record):
            table[name][record.part or "all"] += 1
    return {name: dict(sorted(parts.items())) for name, parts in sorted(table.items())}


def names_of(catalog: Catalog, record: Record) -> tuple[str, ...]:
    """Return under which names an image is counted."""
    if record.label is None:
        return (UNLABELLED,)
    return catalog.names_in(record.label) or (NO_CLASS,)


def claims(support: Sequence[numbers.ClassSupport]) -> dict[str, Any]:
    """Return what can be learned from supports, and what usual claims would need."""
    units = {s.name: s.train_groups for s in support}
    return {
        "folds": numbers.folds(units),
        "per_class_thresholds": numbers.thresholds_make_sense(units),
        "units_for_escape_1_percent": numbers.units_for_rate(0.01),
        "units_for_escape_5_percent": numbers.units_for_rate(0.05),
        "units_for_escape_10_percent": numbers.units_for_rate(0.10),
    }


def conflicts(found: Groups, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the sets of identical files that carry different labels."""
    by_hash: defaultdict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(found.hashes):
        if digest and records[position].label is not None:
            by_hash[digest].append(position)
    return [
        {
            "paths": [records[i].path for i in same],
            "labels": sorted({str(records[i].label) for i in same}),
        }
        for same in by_hash.values()
        if len({records[i].label for i in same}) > 1
    ]


def pairs_across_parts(found: Groups, records: Sequence[Record]) -> dict[str, Any]:
    """Count proved pairs whose images lie in different parts of the layout.

    Labelled training images and unlabelled ones may be twins: both are trained on.
    """
    count: Counter[str] = Counter()
    examples = []
    for pair in found.pairs:
        parts = {_place(records[pair.first]), _place(records[pair.second])}
        if len(parts) == 2 and parts & {"validation", "test"}:
            count[" - ".join(sorted(parts))] += 1
            examples.append([records[pair.first].path, records[pair.second].path])
    return {"pairs": dict(count.most_common()), "examples": examples[:LISTED]}


def _place(record: Record) -> str:
    return record.part if record.part in ("validation", "test") else "training"


def support_of(catalog: Catalog, names: Sequence[str]) -> list[numbers.ClassSupport]:
    """Return what each class can carry; ``names`` (N,) are the images' groups."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    tested: defaultdict[str, set[str]] = defaultdict(set)
    learned: defaultdict[str, set[str]] = defaultdict(set)
    own = any(r.label and _place(r) != "training" for r in catalog.records)
    for record, group in zip(catalog.records, names, strict=True):
        for name in catalog.names_in(record.label):
            groups[name].add(group)
            if record.part == "test":
                tested[name].add(group)
            if _place(record) == "training":
                learned[name].add(group)
    return [
        numbers.class_support(
            name,
            images=count,
            groups=len(groups[name]),
            test_groups=len(tested[name]) if tested else None,
            train_groups=len(learned[name]) if own else None,
        )
        for name, count in catalog.class_counts.items()
    ]


def own_test(
    catalog: Catalog, support: Sequence[numbers.ClassSupport]
) -> dict[str, int] | None:
    """Return independent units per class of the data's own test part, if it has one."""
    if not any(r.label and r.part == "test" for r in catalog.records):
        return None
    return {s.name: s.test_units for s in support}


def training_counts(catalog: Catalog) -> dict[str, int]:
    """Return labelled images per class without the data's own validation and test."""
    counts = Counter(
        name
        for record in catalog.records
        if _place(record) == "training"
        for name in catalog.names_in(record.label)
    )
    return {name: counts[name] for name in catalog.classes}
