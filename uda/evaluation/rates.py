"""Rates from confusion matrices and rankings, for one or many draws at once.

Pure functions of arrays; a denominator of zero gives NaN, never a silent 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion_matrix(
    targets: npt.ArrayLike, predicted: npt.ArrayLike, num_classes: int
) -> Counts:
    """Count images by true class (row) and predicted class (column).

    Args:
        targets: (N,) true class indices; negative ones are left out.
        predicted: (N,) predicted class indices.
        num_classes: C.

    Returns:
        (C, C) int64.
    """
    true, answer = np.asarray(targets), np.asarray(predicted)
    known = true >= 0
    cells = true[known] * num_classes + answer[known]
    counts = np.bincount(cells.astype(np.int64), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def weighted_matrices(
    targets: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    weights: npt.NDArray[Any],
    num_classes: int,
) -> Floats:
    """Return (d, C, C) confusion matrices of N images under (d, N) weights."""
    cells, cell_of = np.unique(targets * num_classes + predicted, return_inverse=True)
    chosen = np.zeros((cell_of.size, cells.size), dtype=np.float32)
    chosen[np.arange(cell_of.size), cell_of] = 1  # sums of whole numbers stay exact
    counts = np.zeros((len(weights), num_classes**2))
    counts[:, cells] = weights.astype(np.float32) @ chosen
    return counts.reshape(-1, num_classes, num_classes)


def rates(counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Derive rates from one or many (weighted) confusion matrices.

    Args:
        counts: (..., C, C).

    Returns:
        recall, precision, f1: (..., C); balanced_accuracy, macro_f1, accuracy:
        (...,). NaN where a denominator is zero; F1 of a class without images
        is NaN too, and the means go over the classes with images.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    true, answer = counts.sum(axis=-1), counts.sum(axis=-2)
    recall = ratio(hits, true)
    f1 = np.where(true > 0, ratio(2 * hits, true + answer), np.nan)
    num_present = (true > 0).sum(axis=-1)
    return {
        "recall": recall,
        "precision": ratio(hits, answer),
        "f1": f1,
        "balanced_accuracy": ratio(np.nansum(recall, axis=-1), num_present),
        "macro_f1": ratio(np.nansum(f1, axis=-1), num_present),
        "accuracy": ratio(hits.sum(axis=-1), true.sum(axis=-1)),
    }


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Return part / whole, NaN where the whole is not positive."""
    quotient = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=quotient, where=np.asarray(whole) > 0)
    return quotient


class Ranking:
    """One class's images by falling score, ready for weighted precision.

    Average precision is the sum of precision times the gain in recall over
    the distinct scores, without interpolation (scikit-learn's definition).
    """

    def __init__(self, scores: npt.NDArray[Any], positive: npt.NDArray[np.bool_]):
        """Sort once: (N,) scores and which images truly are of the class."""
        self.order = np.argsort(-scores, kind="stable")
        falling = scores[self.order]
        self.positive = positive[self.order]
        ends = np.flatnonzero(np.r_[falling[1:] != falling[:-1], True])
        # An image counts at the precision where its score's ties end.
        end_of = ends[np.searchsorted(ends, np.arange(falling.size))]
        self._hits = np.flatnonzero(self.positive)
        self._ends = end_of[self._hits]

    def average_precision(self, weights: npt.NDArray[Any]) -> Floats:
        """Return (d,) average precision for weights (d, N); NaN without hits."""
        # Rows are images here: cumulative sums then run over whole rows.
        sorted_weights = np.ascontiguousarray(weights.T)[self.order]
        seen = np.cumsum(sorted_weights, axis=0)[self._ends]
        sorted_weights[~self.positive] = 0
        found = np.cumsum(sorted_weights, axis=0)[self._ends]
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        hits = sorted_weights[self._hits]
        return ratio((precision * hits).sum(axis=0), hits.sum(axis=0))


def calibration_error(
    confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], bins: int = 15
) -> float | None:
    """Return the expected calibration error over bins of equal size.

    Images are sorted by confidence and cut into at most ``bins`` parts of the
    same number; the result is the mean |confidence - accuracy| weighted by
    size. None without images. With fewer than about 100 images it is noise.
    """
    if confidence.size == 0:
        return None
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, confidence.size))
    gaps = [abs(float(confidence[p].sum()) - float(right[p].sum())) for p in parts]
    return sum(gaps) / confidence.size


def good_counts(
    counts: npt.NDArray[Any], good: int
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Return (part, whole) of escape, escape_shipped and overkill.

    Args:
        counts: (..., C, C) confusion matrices.
        good: index of the class of parts without a defect.

    Returns:
        Defective and passed / defective; defective and passed / passed; good
        and rejected / good; each entry shaped (...,).
    """
    passed = counts[..., :, good].sum(axis=-1)
    good_parts = counts[..., good, :].sum(axis=-1)
    good_passed = counts[..., good, good]
    escaped = passed - good_passed
    defective = counts.sum(axis=(-2, -1)) - good_parts
    return [
        (escaped, defective),
        (escaped, passed),
        (good_parts - good_passed, good_parts),
    ]
