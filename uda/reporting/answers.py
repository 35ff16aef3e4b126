"""A model's answers as the columns and rows of predictions.csv.

Apart from what is drawn and measured, so that it needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from uda.evaluation.predict import Predictions


def header(classes: tuple[str, ...], *, with_target: bool = False) -> list[str]:
    """Return the column names of a predictions file."""
    target = ["target"] if with_target else []
    columns = [f"prob:{name}" for name in classes]
    return ["path", *target, "class", "confidence", *columns, "error"]


def rows(predictions: Predictions) -> Iterator[tuple[int, list[object]]]:
    """Yield, per image, its index and its class, confidence and probabilities.

    Several classes are joined by ``|``; without any it is ``none``.
    """
    probs, sure = predictions.probs, predictions.confidence
    for row, name in enumerate(predictions.names_of(predictions.predicted)):
        numbers = [f"{value:.6f}" for value in (sure[row], *probs[row])]
        yield row, [name, *numbers]
