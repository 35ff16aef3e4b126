"""Inspect a data set: gather every measurement, then ask for advice.

Everything found is in one Inspection; the command line only prints it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from uda.data.defects import USUAL_SIZES, DefectSize, Size, defect_sizes, load
from uda.data.duplicates import Groups, find_groups
from uda.data.groups import joined
from uda.data.records import Catalog, scan
from uda.files import write_csv, write_json
from uda.inspect import leaks, numbers, pixels
from uda.inspect.advice import Advice, Facts, advise, on_data
from uda.inspect.agreement import Agreement, compare_groups
from uda.inspect.colours import name_of
from uda.inspect.counts import (
    LISTED,
    claims,
    conflicts,
    counts_per_part,
    names_of,
    own_test,
    pairs_across_parts,
    support_of,
    training_counts,
)
from uda.inspect.leaks import Leak
from uda.inspect.sheet import write_sheet

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set.

    Attributes:
        catalog: the images; looks: the pixels' numbers, in the same order.
        found: groups found automatically.
        group_names: (N) the group each image counts for: the column's, or found.
        group_source: in words, the column or what is found.
        support: what each class can carry.
        leak: what a random split hides; None where it cannot be measured.
        agreement: found groups against the column's; None without a column.
        shifts: how labelled and unlabelled images differ.
        colors: dominant colours per class; empty for grey images.
        advice: what to do first.
        defects: sizes of defects in pixels; empty without boxes.
    """

    catalog: Catalog
    looks: list[pixels.Look]
    found: Groups
    group_names: list[str]
    group_source: str
    support: list[numbers.ClassSupport]
    leak: Leak | None
    agreement: Agreement | None
    shifts: list[pixels.Shift]
    colors: dict[str, list[pixels.Color]]
    advice: list[Advice]
    defects: list[DefectSize] = field(default_factory=list)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of unreadable images."""
        return [
            (record.path, look.reason)
            for record, look in zip(self.catalog.records, self.looks, strict=True)
            if look.reason
        ]

    def save(self, folder: Path) -> None:
        """Write inspect.json, groups.csv and, if pairs were found, groups.png."""
        write_json(folder / "inspect.json", self.as_dict())
        names = [self.found.groups[r.path] for r in self.catalog.records]
        rows = zip((r.path for r in self.catalog.records), names, strict=True)
        write_csv(folder / "groups.csv", ("path", "group"), rows)
        write_sheet(folder / "groups.png", self.found, self.catalog.records)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for inspect.json."""
        records = self.catalog.records
        return {
            "data": str(self.catalog.root),
            "layout": self.catalog.layout,
            "notes": list(self.catalog.notes),
            "images": len(records),
            "labeled": sum(r.label is not None for r in records),
            "unlabeled": sum(r.label is None for r in records),
            "classes": [asdict(support) for support in self.support],
            "counts_per_part": counts_per_part(self.catalog),
            "imbalance_ratio": numbers.imbalance_ratio(training_counts(self.catalog)),
            "claims": claims(self.support),
            "sizes": [
                {"width": w, "height": h, "images": n}
                for (w, h), n in pixels.sizes(self.looks)[:LISTED]
            ],
            "modes": pixels.modes(self.looks),
            "skipped": [{"path": p, "reason": r} for p, r in self.skipped],
            "groups": self._groups(),
            "conflicts": conflicts(self.found, records),
            "pairs_across_parts": pairs_across_parts(self.found, records),
            "leak": asdict(self.leak) if self.leak else None,
            "agreement_with_column": asdict(self.agreement) if self.agreement else None,
            "dominant_colors": {
                name: [asdict(c) | {"code": c.code, "name": name_of(c)} for c in colors]
                for name, colors in self.colors.items()
            },
            "defects": [asdict(d) | {"lost": d.lost} for d in self.defects],
            "unlabeled_against_labeled": [asdict(shift) for shift in self.shifts],
            "advice": [asdict(advice) for advice in self.advice],
        }

    def _groups(self) -> dict[str, Any]:
        sizes = self.found.sizes()
        relations = Counter(pair.relation for pair in self.found.pairs)
        return {
            "used": self.group_source,
            "found": len(sizes),
            "images_with_kin": int(sizes[sizes > 1].sum()),
            "largest": int(sizes.max(initial=0)),
            "pairs": dict(relations.most_common()),
            "calibrations": {
                name: calibration.as_dict()
                for name, calibration in self.found.calibrations.items()
            },
            "common_components": self.found.common_components,
        }


def inspect_data(
    data: Path,
    *,
    unlabeled: Sequence[Path] = (),
    group: str | None = None,
    multi_label: bool = False,
    seed: int = 0,
    threads: int = 1,
    boxes: Path | None = None,
    sizes: Sequence[Size] = (),
    progress: Progress | None = None,
) -> Inspection:
    """Measure a data set.

    Args:
        data: folder or manifest, as for ``scan``.
        unlabeled: further folders of unlabelled images.
        group: a manifest column, "auto" (what is found, joined with the column
            ``group``), or None: the column ``group`` if any, else auto.
        multi_label: whether an image may have several labels.
        seed: of splits and random projections.
        threads: that decode images.
        boxes: annotations of defects, in any format that ``read_boxes`` knows.
        sizes: (H, W) at which defects are measured, beside the usual ones.
        progress: called with (stage, done, total).

    Raises:
        DataError: for a folder without images or with an unknown layout.
        UsageError: for a column that does not exist.
    """
    defects = _defects(boxes, data, sizes)
    column = None if group in (None, "auto") else group
    catalog = scan(
        data,
        unlabeled=unlabeled,
        group_column=column,
        min_classes=0,
        multi_label=multi_label,
    )
    looks = pixels.look_at(catalog.records, threads=threads, progress=progress)
    found = find_groups(catalog, seed=seed, threads=threads, progress=progress)
    given = catalog.groups()
    units = joined(found.groups, given)
    if group != "auto":  # what is found tells of those alone that the column leaves out
        units = {p: given.get(p, f"\0{name}") for p, name in found.groups.items()}
    names = [units[record.path] for record in catalog.records]
    support = support_of(catalog, names)
    leak = _leak(catalog, looks, names, seed)
    agreement = None
    if given:
        pairs = [(p.first, p.second) for p in found.pairs]
        agreement = compare_groups(
            [given.get(r.path) for r in catalog.records], found.ids, pairs, seed=seed
        )
    shifts = _shifts(catalog, looks)
    facts = replace(
        _facts(catalog, looks, found, support, leak, shifts, bool(given)),
        defects=tuple(defects),
    )
    return Inspection(
        catalog,
        looks,
        found,
        names,
        _source(column, auto=group == "auto") if given else "found automatically",
        support,
        leak,
        agreement,
        shifts,
        _colors(catalog, looks),
        [on_data(one, Path(data), unlabeled) for one in advise(facts)],
        defects,
    )


def _source(column: str | None, *, auto: bool) -> str:
    told = f"column {column or 'group'}"
    return f"{told}, joined with what is found" if auto else told


def _defects(boxes: Path | None, data: Path, sizes: Sequence[Size]) -> list[DefectSize]:
    if boxes is None:
        return []
    return defect_sizes(load(boxes, data), [None, *sorted({*USUAL_SIZES, *sizes})])


def _leak(
    catalog: Catalog, looks: Sequence[pixels.Look], names: Sequence[str], seed: int
) -> Leak | None:
    rows = [
        i
        for i, (record, look) in enumerate(zip(catalog.records, looks, strict=True))
        if record.label is not None and look.tiny is not None
    ]
    if not rows:
        return None
    tiny = np.stack([t for i in rows if (t := looks[i].tiny) is not None])
    labels = np.unique(
        [str(catalog.records[i].label) for i in rows], return_inverse=True
    )
    groups = np.unique([names[i] for i in rows], return_inverse=True)
    return leaks.measure(
        tiny, labels[1].astype(np.int64), groups[1].astype(np.int64), seed=seed
    )


def _shifts(catalog: Catalog, looks: Sequence[pixels.Look]) -> list[pixels.Shift]:
    sides: dict[bool, list[pixels.Look]] = {True: [], False: []}
    for record, look in zip(catalog.records, looks, strict=True):
        if not look.reason:
            sides[record.label is not None].append(look)
    if not sides[True] or not sides[False]:
        return []
    measures: list[tuple[str, Callable[[pixels.Look], float]]] = [
        ("brightness", lambda k: k.brightness),
        ("contrast", lambda k: k.contrast),
        ("longest side", lambda k: float(max(k.width, k.height))),
        ("width / height", lambda k: k.width / k.height),
    ]
    return [
        pixels.shift(
            name, [value(k) for k in sides[True]], [value(k) for k in sides[False]]
        )
        for name, value in measures
    ]


def _colors(
    catalog: Catalog, looks: Sequence[pixels.Look]
) -> dict[str, list[pixels.Color]]:
    if pixels.all_grey(looks):
        return {}
    by_class: defaultdict[str, list[pixels.Look]] = defaultdict(list)
    for record, look in zip(catalog.records, looks, strict=True):
        for name in names_of(catalog, record):
            by_class[name].append(look)
    return {
        name: pixels.dominant_colors(of_class)
        for name, of_class in sorted(by_class.items())
    }


def _facts(
    catalog: Catalog,
    looks: Sequence[pixels.Look],
    found: Groups,
    support: Sequence[numbers.ClassSupport],
    leak: Leak | None,
    shifts: Sequence[pixels.Shift],
    has_groups: bool,
) -> Facts:
    sizes = found.sizes()
    read = [look for look in looks if not look.reason]
    gain = None
    if leak and leak.random and leak.grouped:
        gain = leak.random[0] - leak.grouped[0]
    lights = [
        s.distance
        for s in shifts
        if s.name in ("brightness", "contrast") and s.beyond_chance
    ]
    return Facts(
        counts=catalog.class_counts,
        trained=training_counts(catalog),
        units={s.name: s.train_groups for s in support},
        tested=own_test(catalog, support),
        unlabeled=sum(r.label is None for r in catalog.records),
        broken=len(looks) - len(read),
        total=len(looks),
        deep=sum(look.bits > 8 for look in read),
        conflicts=len(conflicts(found, catalog.records)),
        copies=sum(pair.relation == "exact" for pair in found.pairs),
        related=int(sizes[sizes > 1].sum()),
        leaked=leak.leaked if leak else None,
        gain=gain,
        crossing=pairs_across_parts(found, catalog.records)["pairs"],
        has_groups=has_groups,
        multi_label=catalog.multi_label,
        shift=max(lights, default=None),
        side=float(np.median([max(k.width, k.height) for k in read])) if read else 0.0,
    )
