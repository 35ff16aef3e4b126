"""From which probability on a class is named, one number per class.

Fitted on the validation part by F1, where that part can carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uda.errors import CheckpointError
from uda.files import read_json, write_json

if TYPE_CHECKING:
    from uda.models.links import Link

DEFAULT = 0.5
# Fewer images of a class, with or without it, and a threshold of its own is noise:
# see ``inspect.numbers``.
MIN_SUPPORT = 10
_LOWEST, _HIGHEST = 0.05, 0.95


@dataclass(frozen=True)
class Thresholds:
    """One threshold per class, and what it rests on.

    Attributes:
        values: (C,) probabilities; a class is named at or above its own.
        support: (C,) validation images that show the class; thresholds of classes
            below 10 are 0.5.
    """

    values: tuple[float, ...]
    support: tuple[int, ...]

    def save(self, path: Path, classes: tuple[str, ...]) -> None:
        """Write the thresholds by class name."""
        rows = zip(classes, self.values, self.support, strict=True)
        table = {n: {"threshold": v, "validation_images": s} for n, v, s in rows}
        write_json(path, {"classes": table})

    @classmethod
    def load(cls, path: Path, classes: tuple[str, ...]) -> Thresholds:
        """Read what `save` wrote.

        Raises:
            CheckpointError: it is not about these classes.
        """
        table: Mapping[str, Any] = read_json(path).get("classes", {})
        try:
            entries = [table[name] for name in classes]
            return cls(
                tuple(float(entry["threshold"]) for entry in entries),
                tuple(int(entry["validation_images"]) for entry in entries),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: no threshold for {error}; delete the file to use "
                f"{DEFAULT} for every class"
            ) from error


def own_thresholds(
    path: Path, classes: tuple[str, ...], link: Link
) -> tuple[float, ...]:
    """Return a run's (C,) thresholds; none where it has none, which means 0.5."""
    if link == "softmax" or not path.is_file():
        return ()
    return Thresholds.load(path, classes).values


def fit_thresholds(
    targets: npt.ArrayLike, probs: npt.ArrayLike, *, min_support: int = MIN_SUPPORT
) -> Thresholds:
    """Choose per class the threshold with the best F1.

    Candidates lie halfway between neighbouring probabilities; of equally good ones
    the nearest to 0.5 wins. A class with fewer than ``min_support`` images that show
    it, or that do not, keeps 0.5. Thresholds stay within 0.05 to 0.95: beyond, F1
    rewards naming a class everywhere that the model cannot see (Lipton et al., 2014).

    Args:
        targets: (N, C) of 0 and 1.
        probs: (N, C).
        min_support: see above.
    """
    true, scores = np.asarray(targets) > 0, np.asarray(probs, dtype=np.float64)
    support = true.sum(axis=0)
    enough = np.minimum(support, len(true) - support) >= min_support
    values = [
        _best(true[:, c], scores[:, c]) if enough[c] else DEFAULT
        for c in range(true.shape[1])
    ]
    return Thresholds(tuple(values), tuple(int(n) for n in support))


def _best(true: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    levels = np.unique(scores)
    cuts = np.concatenate([(levels[1:] + levels[:-1]) / 2, [DEFAULT]])
    cuts = np.unique(np.clip(cuts, _LOWEST, _HIGHEST))
    order = np.argsort(scores, kind="stable")
    # Images named at each cut, and how many of them truly show the class.
    first = np.searchsorted(scores[order], cuts, side="left")
    hits = np.append(np.cumsum(true[order][::-1])[::-1], 0)[first]
    f1 = 2 * hits / np.maximum(len(scores) - first + true.sum(), 1)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - DEFAULT).argmin()]])
