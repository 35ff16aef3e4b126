"""What happened during a training, as charts, from the lines of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uda.reporting.charts import COLOURS, Bar, Chart, Line, chart
from uda.reporting.rundata import RunData
from uda.training.monitor import tags

_MOST_POINTS = 1000
_LOSSES = {
    "loss/supervised": "supervised",
    "loss/consistency": "consistency",
    "loss/entropy": "entropy",
}
_ACCURACIES = {
    "val_ema/balanced_accuracy": "averaged weights (EMA)",
    "val/balanced_accuracy": "raw weights",
    "val_ema/macro_ap": "averaged weights (EMA), mean average precision",
    "val/macro_ap": "raw weights, mean average precision",
}
_BRANCH = {
    tags.MASK_RATE: "mask rate: share of unlabelled images that teach",
    "unlabeled/pseudo_right": "pseudo-labels that are right, where known",
    "unlabeled/teacher_accuracy": "the teacher's balanced accuracy on validation",
    "unlabeled/guard_factor": "what the guard leaves of the weight",
}


def series(run: RunData, tag: str) -> list[tuple[float, float]]:
    """Return (step, value) of every line that has the tag."""
    return [
        (float(line["step"]), float(line[tag]))
        for line in run.history
        if isinstance(line.get(tag), int | float)
    ]


def last(run: RunData, tag: str) -> float | None:
    """Return the last value of a tag; None where it was never written."""
    points = series(run, tag)
    return points[-1][1] if points else None


def training_charts(run: RunData) -> list[Chart]:
    """Return losses, accuracies, recalls and the learning rate over the steps."""
    class_tags = tags.class_tags(run.classes)
    recalls = {
        f"val_ema/recall/{tag}": name
        for tag, name in zip(class_tags, run.classes, strict=True)
    }
    shown, note = _lowest(run, recalls)
    found = [
        _chart(run, "Losses", _LOSSES, "loss [nats]"),
        _chart(run, "Validation", _ACCURACIES, "share", unit=True),
        _chart(run, "Recall per class, validation", shown, "recall", unit=True,
               note=note),
        _chart(run, "Learning rate", {tags.LEARNING_RATE: "learning rate"}, "rate"),
    ]  # fmt: skip
    return [one for one in found if one is not None]


def branch_chart(run: RunData) -> Chart | None:
    """Return how the unlabelled branch fared; None where there is none."""
    return _chart(run, "The unlabelled branch", _BRANCH, "share", unit=True)


def _lowest(run: RunData, names: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return as many curves as there are colours: those that end lowest."""
    found = {tag: value for tag in names if (value := last(run, tag)) is not None}
    order = sorted(found, key=lambda tag: found[tag])[:COLOURS]
    kept = {tag: names[tag] for tag in names if tag in order}
    left = len(found) - len(kept)
    return kept, f"{left} classes that end higher are not drawn" if left else ""


def _chart(
    run: RunData,
    title: str,
    wanted: Mapping[str, str],
    y_label: str,
    *,
    unit: bool = False,
    note: str = "",
) -> Chart | None:
    lines = [
        Line(name, _thinned(points))
        for tag, name in wanted.items()
        if (points := series(run, tag))
    ]
    if not lines:
        return None
    lines = [_marked(line) for line in lines]
    ends = ", ".join(f"{line.name} {line.points[-1][1]:.3g}" for line in lines)
    return chart(
        title,
        lines,
        x_label="step",
        y_label=y_label,
        x_range=(0.0, max(line.points[-1][0] for line in lines)),
        y_range=(0, 1) if unit else None,
        alt=f"{title} over the steps; at the end: {ends}.",
        note=note,
    )


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points that no screen could show apart; the last one stays."""
    every = -(-len(points) // _MOST_POINTS)
    return points[(len(points) - 1) % every :: every] if points else points


def _marked(line: Line) -> Line:
    """Mark a curve of one point, which would not be seen."""
    return Line(line.name, line.points, line.points) if len(line.points) < 2 else line


def pseudo_bars(
    run: RunData, reference: Sequence[float] | None
) -> tuple[list[Bar], str]:
    """Return the last mix of pseudo-labels beside a reference, and its step in words.

    Args:
        run: the run.
        reference: (C,) shares to compare with, or None.
    """
    class_tags = tags.class_tags(run.classes)
    points = [series(run, f"{tags.PSEUDO_SHARE}/{tag}") for tag in class_tags]
    if not run.classes or not all(points):
        return [], ""
    bars = [
        Bar(name, found[-1][1], None if reference is None else reference[place])
        for place, (name, found) in enumerate(zip(run.classes, points, strict=True))
    ]
    return bars, f"step {points[0][-1][0]:.0f}"
