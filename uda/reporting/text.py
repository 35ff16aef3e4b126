"""An evaluation as plain text: confusion matrix first, then the class table.

Plain characters alone: it reads the same in a terminal, a log and a mail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uda.data.table import shown
from uda.evaluation.estimates import NOT_AVAILABLE, Estimate
from uda.evaluation.multilabel import AnyMetrics, LabelMetrics
from uda.evaluation.tta import NONE

_WIDTH = 22
_OVERALL = (
    ("balanced_accuracy", "balanced accuracy"),
    ("macro_f1", "macro-F1"),
    ("accuracy", "accuracy"),
    ("calibration_error", "calibration error"),
)
_OVERALL_LABELS = (
    ("macro_ap", "mean average precision"),
    ("macro_f1", "macro-F1"),
    ("micro_f1", "micro-F1"),
    ("exact_match", "exact match"),
)
_GOOD = (
    ("escape", "escape: defective parts passed / defective parts"),
    ("escape_shipped", "escape: defective parts passed / all parts passed"),
    ("overkill", "overkill: good parts rejected / good parts"),
)


def short(name: str, width: int = _WIDTH) -> str:
    """Return a name without control characters that fits a column."""
    clean = shown(name)
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of cells: the first column left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]


def confusion_lines(metrics: AnyMetrics) -> list[str]:
    """Return the confusion matrix: a row per true class, numbered columns.

    Nothing with several labels per image, where no class is taken for another.
    """
    if isinstance(metrics, LabelMetrics):
        return []
    numbers = [str(i) for i in range(len(metrics.classes))]
    rows = [["true \\ predicted", *numbers, "images"]]
    for number, (name, counts) in enumerate(
        zip(metrics.classes, metrics.counts, strict=True)
    ):
        cells = [str(count) for count in counts]
        rows.append([f"{number} {short(name)}", *cells, str(counts.sum())])
    return table(rows)


def class_lines(metrics: AnyMetrics, *, grouped: bool = False) -> list[str]:
    """Return the per-class table with 95 % intervals.

    With several labels per image it says above which probability a class is named.

    Args:
        metrics: of one kind of weights.
        grouped: show how many groups of alike images each class has.
    """
    header = ["class", "images", "recall", "precision", "F1", "average precision"]
    limits = metrics.thresholds if isinstance(metrics, LabelMetrics) else ()
    more = (["groups"] if grouped else []) + (["threshold"] if limits else [])
    rows = [header[:2] + more + header[2:]]
    for place, entry in enumerate(metrics.per_class):
        numbers = [str(entry.images)] + ([str(entry.groups)] if grouped else [])
        numbers += [f"{limits[place]:.2f}"] if limits else []
        rates = [entry.recall, entry.precision, entry.f1, entry.ap]
        rows.append([short(entry.name), *numbers, *(str(rate) for rate in rates)])
    return table(rows)


def node_lines(metrics: AnyMetrics) -> list[str]:
    """Return the decisions of a class tree: recall of each child at its node."""
    if isinstance(metrics, LabelMetrics) or not metrics.nodes:
        return []
    rows = [["decision at a node", "images", "recall of those below the node"]]
    for node in metrics.nodes:
        rows.append([short(node.name), str(sum(c.images for c in node.children)), ""])
        for child, below in zip(node.children, node.classes, strict=True):
            names = "" if below == (child.name,) else f" = {', '.join(below)}"
            title = short(f"  {child.name}{names}", 2 * _WIDTH)
            rows.append([title, str(child.images), str(child.recall)])
    return table(rows)


def overall_lines(
    metrics: Mapping[str, AnyMetrics], kind: str = "network"
) -> list[str]:
    """Return the overall numbers, one column per kind of weights."""
    first = next(iter(metrics.values()))
    wanted: tuple[tuple[str, str], ...] = _OVERALL_LABELS
    if not isinstance(first, LabelMetrics):
        wanted = _OVERALL + (_GOOD if first.good_class is not None else ())
    rows = [["", *(whose(name, kind) for name in metrics)]]
    for key, label in wanted:
        found = [entry.find(key) for entry in metrics.values()]
        rows.append([label, *(_with_count(estimate) for estimate in found)])
    return table(rows)


def recall_lines(metrics: Mapping[str, AnyMetrics]) -> list[str]:
    """Return recall per class, one column per kind of weights."""
    first = next(iter(metrics.values()))
    rows = [["recall", *(whose(name) for name in metrics)]]
    for name in first.classes:
        found = [entry.find(f"recall:{name}") for entry in metrics.values()]
        rows.append([short(name), *(str(estimate) for estimate in found)])
    return table(rows)


def decision_lines(metrics: AnyMetrics) -> list[str]:
    """Return what the decision rule does with the parts; nothing without one."""
    if isinstance(metrics, LabelMetrics) or metrics.decision is None:
        return []
    decision = metrics.decision
    by_class = zip(metrics.classes, decision.unsure_by_class, strict=True)
    shares: list[tuple[str, Estimate]] = [
        ("unsure: parts for a person / all parts", decision.unsure),
        *((f"  of {short(name)}", share) for name, share in by_class),
        ("wrong / answers that stand", decision.wrong),
        ("escape, unsure parts not passed", decision.escape),
        ("overkill, unsure parts not rejected", decision.overkill),
        ("mean cost per part", decision.cost),
    ]
    rows = [
        [title, _with_count(share)] for title, share in shares if share != NOT_AVAILABLE
    ]
    but = ", but the decisions at a node, which are the model's own"
    first = (
        f"Decision: {decision.words}. The numbers above are of its answers"
        f"{but if metrics.nodes else ''}."
    )
    return [first, *(table(rows) if rows else [])]


def whose(weights: str, kind: str = "network") -> str:
    """Return whose answers these are; a texture run has one set of weights."""
    return "texture" if kind == "texture" else f"{weights} weights"


def asked_words(weights: str, tta: str, kind: str = "network") -> str:
    """Return whose answers these are, and under which views if several."""
    return whose(weights, kind) + ("" if tta == NONE else f", TTA {tta}")


def _with_count(estimate: Estimate) -> str:
    if estimate.value is None or estimate.part is None:
        return str(estimate)
    return f"{estimate.part}/{estimate.whole} = {estimate}"
