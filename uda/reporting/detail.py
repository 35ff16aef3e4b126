"""The details of one evaluation for its report: matrix, curves, calibration, errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uda.evaluation.predict import Predictions
from uda.evaluation.rates import calibration_error
from uda.intervals import clopper_pearson
from uda.reporting.charts import Chart, Line, chart
from uda.reporting.figures import pr_points
from uda.reporting.rundata import Evaluated
from uda.reporting.thumbnails import cells, worst_rows

_MOST_CURVES = 24  # classes with a curve of their own
_MOST_POINTS = 200  # of a curve; a reader cannot see more
_MOST_COLUMNS = 30  # classes of a matrix that is still a table
_BINS = 10
_SHADES = 10  # of a cell, in the style sheet


@dataclass(frozen=True)
class Picture:
    """One image with what is true and what was said.

    Attributes:
        name: of the file.
        truth: true class or classes.
        answer: of the model.
        confidence: 0..1.
        unsure: whether the decision rule leaves it to a person.
        image: data address, or nothing.
        maps: (class, data address, whether it is empty).
    """

    name: str
    truth: str
    answer: str
    confidence: float
    unsure: bool
    image: str
    maps: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix: a count, its shade, and the images that are shown."""

    anchor: str
    title: str
    count: int
    css: str
    pictures: list[Picture]


def picture(evaluated: Evaluated, row: int) -> Picture:
    """Return an image of an evaluation as the report shows it."""
    found, stored = evaluated.predictions, evaluated.pictures.get(row, {})
    one = slice(row, row + 1)
    return Picture(
        found.ids[row],
        found.names_of(found.targets[one])[0],
        found.names_of(found.predicted[one])[0],
        float(found.confidence[row]),
        bool(found.unsure[row]),
        stored.get("image", ""),
        [(m["class"], m["image"], bool(m["empty"])) for m in stored.get("maps", [])],
    )


def worst(evaluated: Evaluated) -> list[Picture]:
    """Return the wrong answers, most confident first."""
    return [picture(evaluated, row) for row in worst_rows(evaluated.predictions)]


def number_wrong(evaluated: Evaluated) -> int:
    """Return how many answers are wrong; `worst` shows at most WORST of them."""
    return int(evaluated.predictions.wrong.sum())


def matrix(evaluated: Evaluated, prefix: str) -> list[list[Cell]]:
    """Return the confusion matrix, row by true class; nothing where it is no table.

    Args:
        evaluated: with one label per image.
        prefix: of the anchors, as a page holds several matrices.
    """
    found = evaluated.predictions
    if found.several or len(found.classes) > _MOST_COLUMNS:
        return []
    counts, by_cell = evaluated.main["counts"], cells(found)
    return [
        [
            _cell(evaluated, (true, said), counts[true], by_cell, prefix)
            for said in range(len(found.classes))
        ]
        for true in range(len(found.classes))
    ]


def _cell(
    evaluated: Evaluated,
    pair: tuple[int, int],
    counts: list[int],
    by_cell: Mapping[tuple[int, int], list[int]],
    prefix: str,
) -> Cell:
    classes, (true, said) = evaluated.predictions.classes, pair
    count, whole = counts[said], sum(counts)
    kind = "right" if true == said else "wrong"
    shade = -(-_SHADES * count // whole) if whole else 0
    title = (
        f"{classes[true]}, found"
        if true == said
        else f"{classes[true]}, called {classes[said]}"
    )
    css = f"{kind} {kind[0]}{shade}" if count else ""
    rows = by_cell.get(pair, [])
    shown = [picture(evaluated, r) for r in rows if r in evaluated.pictures]
    return Cell(f"{prefix}-{true}-{said}", title, count, css, shown)


def label_cells(evaluated: Evaluated, prefix: str) -> list[Cell]:
    """Return, with several labels per image, what was missed and falsely named."""
    found = evaluated.predictions
    titles = ("missed", "named without being there")
    return [
        Cell(
            f"{prefix}-{label}-{said}",
            f"{found.classes[label]}, {titles[said]}",
            len(rows),
            "",
            [picture(evaluated, row) for row in rows if row in evaluated.pictures],
        )
        for (label, said), rows in sorted(cells(found).items())
    ]


def pr_charts(evaluated: Evaluated) -> list[Chart]:
    """Return a precision-recall curve per class with images, with its operating point.

    At most 24, those with the lowest average precision.
    """
    found = evaluated.predictions
    entries = [
        (label, entry)
        for label, entry in enumerate(evaluated.main["per_class"])
        if entry["ap"]["value"] is not None
    ]
    if len(entries) > _MOST_CURVES:
        entries.sort(key=lambda entry: entry[1]["ap"]["value"])
        entries = sorted(entries[:_MOST_CURVES], key=lambda entry: entry[0])
    return [_pr_chart(found, label, entry) for label, entry in entries]


def _pr_chart(found: Predictions, label: int, entry: Mapping[str, Any]) -> Chart:
    known = found.known
    targets = found.targets[known]
    positive = targets[:, label] > 0 if found.several else targets == label
    recall, precision = pr_points(found.log_probs[known][:, label], positive)
    chosen = np.unique(np.linspace(0, len(recall) - 1, _MOST_POINTS).astype(int))
    # Steps, so that the area below is the average precision.
    starts = np.r_[0.0, recall[chosen[:-1]]]
    points = [
        (float(x), float(precision[i]))
        for start, i in zip(starts, chosen, strict=True)
        for x in (start, recall[i])
    ]
    at = (entry["recall"]["value"], entry["precision"]["value"])
    named = None not in at
    mark = [(float(at[0]), float(at[1]))] if named else []
    works = (
        f"at work: recall {at[0]:.2f}, precision {at[1]:.2f}"
        if named
        else "at work: never named, so there is no precision"
    )
    area = f"average precision {entry['ap']['value']:.2f}"
    return chart(
        entry["name"],
        [Line("precision over recall", points, mark)],
        x_label="recall",
        y_label="precision",
        x_range=(0, 1),
        y_range=(0, 1),
        alt=f"Precision-recall curve of {entry['name']}: {area}; {works}.",
        note=f"{area}, {entry['images']} images; {works}",
    )


def calibration_chart(evaluated: Evaluated) -> Chart | None:
    """Return the reliability diagram; None without images.

    Bins hold equally many answers, as in the calibration error.
    """
    sure, right, asked = _calibrated(evaluated.predictions)
    if not sure.size:
        return None
    order = np.argsort(sure, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, sure.size // 5)))
    points, whiskers = [], []
    for part in parts:
        x, hits = float(sure[part].mean()), int(right[part].sum())
        points.append((x, hits / len(part)))
        low, high = clopper_pearson(hits, len(part))
        whiskers.append((x, low, high))
    return chart(
        "Reliability",
        [
            Line("perfect", [(0, 0), (1, 1)], ideal=True),
            Line(asked, points, points, whiskers),
        ],
        x_label="confidence",
        y_label="share that is right",
        x_range=(0, 1),
        y_range=(0, 1),
        alt=f"Reliability diagram in {len(parts)} bins: {asked}, with 95% intervals.",
        note=f"{len(parts)} bins of about {sure.size // len(parts)} answers each",
    )


def calibration_number(evaluated: Evaluated) -> float | None:
    """Return the expected calibration error; None without images."""
    sure, right, _ = _calibrated(evaluated.predictions)
    return calibration_error(sure, right)


def _calibrated(found: Predictions) -> tuple[Any, Any, str]:
    """Return confidences and whether they were right, and what is counted."""
    known = found.known
    if found.several:
        probs, truth = found.probs[known], found.targets[known] > 0
        return probs.ravel(), truth.ravel(), "share of images that show a class"
    right = found.likeliest[known] == found.targets[known]
    return found.confidence[known], right, "share of right answers"
