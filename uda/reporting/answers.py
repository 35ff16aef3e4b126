"""A model's answers as the columns and rows of predictions.csv.

Apart from what is drawn and measured, so that it needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from uda.evaluation.decision import UNSURE
from uda.evaluation.predict import Predictions


def header(
    classes: tuple[str, ...], *, with_target: bool = False, with_decision: bool = False
) -> list[str]:
    """Return the column names of a predictions file."""
    target = ["target"] if with_target else []
    answer = ["decision", "class"] if with_decision else ["class"]
    columns = [f"prob:{name}" for name in classes]
    return ["path", *target, *answer, "confidence", *columns, "error"]


def rows(predictions: Predictions) -> Iterator[tuple[int, list[object]]]:
    """Yield, per image, its index and its class, confidence and probabilities.

    Several classes are joined by ``|``; without any it is ``none``. Under a decision
    rule its decision comes first: a class, or ``unsure``; the class is the likeliest.
    """
    probs, sure = predictions.probs, predictions.confidence
    decisions = predictions.names_of(predictions.predicted)
    for row, name in enumerate(predictions.names_of(predictions.likeliest)):
        numbers = [f"{value:.6f}" for value in (sure[row], *probs[row])]
        if predictions.rule is None:
            yield row, [name, *numbers]
        else:
            told = UNSURE if predictions.unsure[row] else decisions[row]
            yield row, [told, name, *numbers]
