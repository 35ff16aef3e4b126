"""Writes an evaluation into the run folder: numbers, answers, two pictures.

Each file is whole or absent; a second evaluation of the same part replaces them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from uda.evaluation.estimates import Metrics
from uda.evaluation.evaluate import Evaluation
from uda.evaluation.predict import Predictions
from uda.files import atomic_write, write_csv, write_json
from uda.reporting import figures
from uda.reporting.answers import header, rows
from uda.reporting.text import asked_words


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write metrics.json, predictions.csv and .npz, and the two pictures.

    Where the run has a warm start, its answers are in warm.npz.

    With several labels per image there is no confusion matrix.

    Args:
        folder: for example ``RUN/evaluation/test``.
        evaluation: its first kind of weights is the one that is written out
            image by image and drawn; metrics.json holds every kind.
    """
    main = next(iter(evaluation.predictions))
    predictions, metrics = evaluation.predictions[main], evaluation.metrics[main]
    images = evaluation.images
    if "warm" in evaluation.predictions:  # what UDA is held against, image by image
        evaluation.predictions["warm"].save(folder / "warm.npz")
    write_json(
        folder / "metrics.json",
        {
            "part": images.name,
            "source": images.source,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "images": len(predictions.ids),
            "groups": _group_numbers(evaluation, predictions.ids),
            "skipped": [list(entry) for entry in evaluation.skipped],
            "notes": images.notes,
            "main_weights": main,
            "tta": predictions.tta,
            "weights": {k: m.to_json() for k, m in evaluation.metrics.items()},
        },
    )
    write_csv(
        folder / "predictions.csv",
        header(
            predictions.classes,
            with_target=True,
            with_decision=predictions.rule is not None,
        ),
        _rows(evaluation, predictions),
    )
    predictions.save(folder / "predictions.npz")
    asked = asked_words(main, predictions.tta, evaluation.kind)
    title = f"{images.name}, {asked}"
    if isinstance(metrics, Metrics):  # several labels have no one confusion matrix
        matrix = figures.confusion_matrix(metrics.counts, metrics.classes, title=title)
        atomic_write(folder / "confusion_matrix.png", figures.png_bytes(matrix))
    curves = figures.pr_curves(predictions, title=title)
    atomic_write(folder / "pr_curves.png", figures.png_bytes(curves))


def _group_numbers(evaluation: Evaluation, ids: Sequence[str]) -> list[int]:
    """Return (N,) numbers of the groups of the images that were answered."""
    groups = dict(
        zip(
            (n for n, _ in evaluation.images.files),
            evaluation.images.groups,
            strict=True,
        )
    )
    numbers: dict[str, int] = {}
    return [numbers.setdefault(groups[name], len(numbers)) for name in ids]


def _rows(evaluation: Evaluation, predictions: Predictions) -> Iterator[list[object]]:
    targets = predictions.names_of(predictions.targets)
    for row, answer in rows(predictions):
        yield [predictions.ids[row], targets[row], *answer, ""]
    blanks = [""] * (3 + len(predictions.classes) + (predictions.rule is not None))
    for path, reason in evaluation.skipped:
        yield [path, *blanks, reason]
