"""Figures of an evaluation: confusion matrix and precision-recall curves.

Built on matplotlib's Figure alone: no display, no global state, any thread.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from uda.evaluation.predict import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_NUMBERS = 25  # more classes than this: colours only
_MAX_NAME = 24
_MOST_CURVES = 24  # more cannot be told apart
_BESIDE = 8  # with more curves than this the legend would lie on them


def confusion_matrix(
    counts: npt.NDArray[np.int64], classes: Sequence[str], *, title: str = ""
) -> Figure:
    """Draw counts as numbers over colours of each row's shares.

    Args:
        counts: (C, C) images by true class (row) and predicted class (column).
        classes: (C,) names.
        title: above the figure; empty for none.
    """
    size = len(classes)
    side = min(20.0, 2.5 + 0.6 * size)
    figure = _figure(side + 0.8, side, title)
    axes = figure.add_subplot()
    whole = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, whole, out=np.zeros(counts.shape), where=whole > 0)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
    names = _names(classes)
    rows = [f"{n} ({c})" for n, c in zip(names, whole[:, 0], strict=True)]
    axes.set_xticks(range(size), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(size), rows, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (images)")
    if size <= _MAX_NUMBERS:
        for row, column in np.ndindex(size, size):
            dark = shares[row, column] > 0.5
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize=9,
                color="white" if dark else "black",
            )
    return figure


def pr_curves(predictions: Predictions, *, title: str = "") -> Figure:
    """Draw precision over recall for every class that has images.

    The number in the legend is the average precision; images without a true
    class are left out. Of many classes those with the lowest one are drawn.
    """
    curves, left = _lowest_curves(predictions)
    many = len(curves) > _BESIDE
    figure = _figure(9.5 if many else 6.5, 5.0, title)
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        axes.step(
            np.r_[0.0, curve.recall],
            np.r_[curve.precision[0], curve.precision],
            where="pre",
            linestyle=("-", "--", ":", "-.")[number // 10 % 4],
            label=f"{curve.name}  {curve.area:.2f}  (n={curve.images})",
        )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    if curves:
        words = "average precision" + (
            f", the {len(curves)} lowest of {left + len(curves)}" if left else ""
        )
        legend = (
            figure.legend(title=words, fontsize=8, loc="outside right upper")
            if many
            else axes.legend(title=words, fontsize=8)
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


class _Curve(NamedTuple):
    place: int
    name: str
    images: int
    area: float
    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]


def _lowest_curves(predictions: Predictions) -> tuple[list[_Curve], int]:
    """Return the curves of the classes that are found worst, and how many are left."""
    known = predictions.known
    log_probs, targets = predictions.log_probs[known], predictions.targets[known]
    found = []
    for index, name in enumerate(_names(predictions.classes)):
        positive = targets[:, index] > 0 if predictions.several else targets == index
        if positive.any():
            recall, precision = pr_points(log_probs[:, index], positive)
            area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
            images = int(positive.sum())
            found.append(_Curve(index, name, images, area, recall, precision))
    kept = sorted(found, key=lambda curve: curve.area)[:_MOST_CURVES]
    return sorted(kept, key=lambda curve: curve.place), len(found) - len(kept)


def pr_points(
    scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return recall and precision at each distinct score, highest first.

    Args:
        scores: (N,) higher means more likely of the class.
        positive: (N,) which images are of the class; at least one.
    """
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(positive[order])
    ends = np.flatnonzero(np.r_[falling[1:] != falling[:-1], True])
    return hits[ends] / hits[-1], hits[ends] / (ends + 1.0)


def png_bytes(figure: Figure, *, dpi: int = 110) -> bytes:
    """Return a figure as the content of a PNG file."""
    buffer = io.BytesIO()
    # Without the software's version, the same figure gives the same bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _figure(width: float, height: float, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(_plain(title, 80), parse_math=False, fontsize=11)
    return figure


def _plain(name: str, longest: int = _MAX_NAME) -> str:
    """Return a name that the font can draw and that leaves room for the figure."""
    glyphs = _glyphs()
    text = "".join(c if c.isprintable() and ord(c) in glyphs else "?" for c in name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


@functools.cache
def _glyphs() -> frozenset[int]:
    """Return the code points that the default font has."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def _names(classes: Sequence[str]) -> list[str]:
    """Return distinct short names; one that had to change carries its number."""
    plain = [_plain(name) for name in classes]
    return [
        new if new == old else f"#{index} {new}"
        for index, (old, new) in enumerate(zip(classes, plain, strict=True))
    ]
