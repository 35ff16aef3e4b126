"""An Inspection as text: tables and plain sentences for a terminal (rich)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from uda.inspect import numbers, pixels
from uda.inspect.colours import name_of, told_by_hue
from uda.inspect.counts import (
    NO_CLASS,
    UNLABELLED,
    claims,
    conflicts,
    counts_per_part,
    pairs_across_parts,
    training_counts,
)
from uda.inspect.defects import defect_parts
from uda.inspect.report import Inspection

_STYLES = {"too low": "bold red", "low": "yellow", "enough": "green"}
_SHOWN = 8


def render(inspection: Inspection) -> RenderableType:
    """Return the whole report, in the order in which one decides."""
    parts: list[RenderableType] = [_headline(inspection)]
    parts += [_classes(inspection), *_reasons(inspection), *_claims(inspection)]
    parts += list(_files(inspection))
    parts += list(_kin(inspection))
    parts += list(defect_parts(inspection.defects))
    parts += list(_pool(inspection))
    parts += list(_colors(inspection))
    parts += list(_advice(inspection))
    return Group(*parts)


def _headline(inspection: Inspection) -> Text:
    low = [s.name for s in inspection.support if s.verdict == "too low"]
    total = len(inspection.catalog.records)
    labeled = sum(r.label is not None for r in inspection.catalog.records)
    text = Text(
        f"{total} images, {labeled} labelled in {len(inspection.support)} classes, "
        f"{total - labeled} unlabelled ({inspection.catalog.layout}).\n"
    )
    if low:
        text.append(f"Too low, require treatment: {', '.join(low)}.", "bold red")
    elif inspection.support:
        text.append("No class is too small to be learned and tested.", "green")
    return text


def _classes(inspection: Inspection) -> Table:
    parts = counts_per_part(inspection.catalog)
    columns = sorted({part for row in parts.values() for part in row})
    table = Table(title="Which numbers are too low", title_justify="left")
    table.add_column("class")
    for part in columns:
        table.add_column(part, justify="right")
    own = any(s.train_groups != s.groups for s in inspection.support)
    table.add_column("groups to learn from" if own else "groups", justify="right")
    table.add_column("all right proves recall", justify="right")
    own_test = any(row.get("test") for row in parts.values())
    table.add_column("in its test" if own_test else "in a 30 % test", justify="right")
    table.add_column("verdict")
    for support in inspection.support:
        cells = [str(parts[support.name].get(part, 0)) for part in columns]
        table.add_row(
            escape(support.name),
            *cells,
            str(support.train_groups),
            f">= {support.best_recall_low:.3f}",
            f">= {support.best_recall_low_test:.3f}",
            Text(support.verdict, _STYLES[support.verdict]),
        )
    for name in (NO_CLASS, UNLABELLED):
        if name in parts:
            row = [str(parts[name].get(part, 0)) for part in columns]
            table.add_row(name, *row, "", "", "", "")
    return table


def _reasons(inspection: Inspection) -> Iterator[Text]:
    """Say for what a class is too small."""
    small = [s for s in inspection.support if s.verdict != "enough"]
    for support in small[:_SHOWN]:
        text = Text(f"{support.name} is {support.verdict}: ", _STYLES[support.verdict])
        yield text.append(support.reason, "default")
    if len(small) > _SHOWN:
        yield Text(f"and {len(small) - _SHOWN} more, see classes in inspect.json")


def _claims(inspection: Inspection) -> Iterator[Text]:
    said = claims(inspection.support)
    ratio = numbers.imbalance_ratio(training_counts(inspection.catalog))
    folds = said["folds"]
    thresholds = "make sense" if said["per_class_thresholds"] else "do not make sense"
    escapes = " / ".join(
        str(said[f"units_for_escape_{percent}_percent"]) for percent in (1, 5, 10)
    )
    yield Text(
        f"Imbalance {ratio:.1f} : 1. Groups: {inspection.group_source}. Grouped folds: "
        f"{folds or 'none'}. Per-class thresholds {thresholds} (rarest class needs "
        f"{numbers.MIN_FOR_THRESHOLDS}).\n"
        f"To claim with 95 % that at most 1 / 5 / 10 % escape: {escapes} independent "
        "defective parts, none missed."
    )


def _files(inspection: Inspection) -> Iterator[Text]:
    sizes = pixels.sizes(inspection.looks)
    shown = ", ".join(f"{w}x{h} ({n})" for (w, h), n in sizes[:3])
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    modes = ", ".join(
        f"{mode} ({n})" for mode, n in pixels.modes(inspection.looks).items()
    )
    yield Text(f"\nSizes: {shown}{more}. Modes: {modes}.")
    skipped = inspection.skipped
    if skipped:
        text = Text(f"Unreadable: {len(skipped)} files.", "bold red")
        for path, reason in skipped[:_SHOWN]:
            text.append(f"\n  {path}: {reason}", "red")
        yield text
    for note in inspection.catalog.notes[:_SHOWN]:
        yield Text(f"Note: {note}", "yellow")


def _kin(inspection: Inspection) -> Iterator[Text]:
    found, records = inspection.found, inspection.catalog.records
    sizes = found.sizes()
    kinds = Counter(pair.relation for pair in found.pairs)
    words = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "none"
    yield Text(
        f"\nPairs that show the same thing: {words}. {int(sizes[sizes > 1].sum())} "
        f"images have kin; {len(sizes)} groups, the largest of "
        f"{int(sizes.max(initial=0))}."
    )
    if found.common_components:
        yield Text(
            "All images share one design; it was taken away before comparing, so that "
            "only what differs from part to part counts."
        )
    clashes = conflicts(found, records)
    for clash in clashes[:_SHOWN]:
        yield Text(
            f"Identical files, different labels ({', '.join(clash['labels'])}): "
            f"{', '.join(clash['paths'])}",
            "bold red",
        )
    for parts, n in pairs_across_parts(found, records)["pairs"].items():
        yield Text(f"Pairs across parts ({parts}): {n}", "bold red")
    yield from _leak(inspection)
    agreement = inspection.agreement
    if agreement:
        yield Text(
            f"Automatic groups against the column: {agreement.found_by_group:.0%} of "
            f"its pairs found, {agreement.false_directly:.1%} of the proved pairs "
            f"cross its groups; a split by automatic groups would leak "
            f"{agreement.leak_found:.0%} (random: {agreement.leak_random:.0%})."
        )


def _leak(inspection: Inspection) -> Iterator[Text]:
    leak = inspection.leak
    if leak is None:
        return
    style = "bold red" if leak.leaked > 0.05 else "green"
    text = Text(
        f"A random split would put kin of {leak.leaked:.0%} of the test images into "
        "training.",
        style,
    )
    if leak.random and leak.grouped:
        text.append(
            " Nearest neighbour on 40 x 40 pixels: balanced accuracy "
            f"{leak.random[0]:.2f} ± {leak.random[1]:.2f} on random splits, "
            f"{leak.grouped[0]:.2f} ± {leak.grouped[1]:.2f} on grouped ones "
            f"({leak.repeats} each)."
        )
    yield text


def _pool(inspection: Inspection) -> Iterator[Table]:
    if not inspection.shifts:
        return
    table = Table(title="Unlabelled against labelled images", title_justify="left")
    for name in ("quantity", "labelled 10/50/90 %", "unlabelled 10/50/90 %"):
        table.add_column(name)
    table.add_column("distance (0 same, 1 apart)", justify="right")
    for shift in inspection.shifts:
        table.add_row(
            shift.name,
            " / ".join(f"{v:g}" for v in shift.labeled),
            " / ".join(f"{v:g}" for v in shift.unlabeled),
            f"{shift.distance:.2f}" + (" !" if shift.beyond_chance else ""),
        )
    yield table


def _colors(inspection: Inspection) -> Iterator[Text]:
    if not inspection.colors:
        yield Text("Colours: all images are grey; train with one channel.")
        return
    for name, colors in inspection.colors.items():
        text = Text(f"Colours of {name}: ")
        for color in colors:
            text.append("  ", f"on {color.code}")
            text.append(f" {color.code} {name_of(color)} {color.share:.0%}  ")
        yield text
    labelled = {s.name: inspection.colors.get(s.name, []) for s in inspection.support}
    for name, hue, without in told_by_hue(labelled):
        yield Text(
            f"Colour may tell {name} ({hue}) from {', '.join(without)}: ops that "
            "change hue (Color, Hue, Saturation) may change the class.",
            "yellow",
        )


def _advice(inspection: Inspection) -> Iterator[Text]:
    yield Text("\nWhat to try first", "bold")
    for number, advice in enumerate(inspection.advice, start=1):
        text = Text(f"{number}. {advice.title}\n", "bold")
        text.append(f"   {advice.reason}\n", "not bold")
        if not advice.command:
            text.append(f"   rule: {advice.source}", "not bold dim")
            yield text
            continue
        text.rstrip()
        yield text
        mark = "$" if advice.command.startswith("uda ") else "->"
        # Never wrapped: it is there to be copied.
        line = f"   {mark} {advice.command}"
        yield Text(line, "cyan", no_wrap=True, overflow="ignore")
        yield Text(f"   rule: {advice.source}", "dim")
