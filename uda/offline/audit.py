"""Label safety: what each op of a policy does to a trained model's right answers.

On labelled images that the model was not trained on: how far the probability of the
true class falls when the op is applied alone, per class, with an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.data.table import listing
from uda.evaluation.predict import predict_pool
from uda.intervals import Interval, bootstrap_by_group
from uda.offline.narrowing import Element, elements

Progress = Callable[[str, int, int], None]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# With fewer groups a bootstrap knows next to nothing: no interval, no verdict.
MIN_GROUPS = 5
THRESHOLD = 0.10
# A model that hardly knows a class untouched is no judge of it: the fall of a guess
# looks like harm, and little can fall.
_KNOWN = 0.5
_BLOCK = 256


@dataclass(frozen=True)
class Images:
    """Labelled images as the model sees them.

    Attributes:
        pixels: (N, H, W, K) uint8.
        targets: (N,) int64 true classes.
        groups: (N,) which images belong together.
        fill: (K,) uint8, the data set's mean.
    """

    pixels: UInt8
    targets: Int64
    groups: Sequence[str]
    fill: UInt8


@dataclass(frozen=True)
class Cell:
    """What one element of a policy does to one class.

    Attributes:
        element: name of the op, flip, crop, cutout or the whole policy.
        label: the class.
        images: labelled images of the class.
        groups: groups that they are of.
        before: mean probability of the true class on untouched images.
        fall: mean fall of that probability.
        interval: 95 % interval of the fall; None where there is no verdict: too few
            groups, or a class that the model does not know.
        left: share of views that the model no longer calls by the true class,
            of the images that it called right untouched; None without any.
        harmful: whether the interval lies above the threshold.
        known: whether the model knows the class untouched: mean probability of 0.5
            and more, and right more often than chance.
    """

    element: str
    label: str
    images: int
    groups: int
    before: float
    fall: float
    interval: Interval | None
    left: float | None
    harmful: bool
    known: bool = True


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        elements: the rows, the whole policy last.
        classes: (C,) class names, those with images.
        cells: row by row, one cell per class.
        threshold: a fall above it is harm.
        draws: views per image and element.
        notes: what a reader must know.
    """

    elements: tuple[Element, ...]
    classes: tuple[str, ...]
    cells: tuple[Cell, ...]
    threshold: float
    draws: int
    notes: list[str] = field(default_factory=list)

    @property
    def harmful(self) -> list[Cell]:
        """The cells above the threshold, the largest fall first."""
        found = [cell for cell in self.cells if cell.harmful]
        return sorted(found, key=lambda cell: -cell.fall)

    @property
    def judged(self) -> list[str]:
        """The classes that there is a verdict on."""
        sure = {cell.label for cell in self.cells if cell.interval is not None}
        return [label for label in self.classes if label in sure]

    def row(self, element: str) -> list[Cell]:
        """Return the cells of one element, in the order of the classes."""
        return [cell for cell in self.cells if cell.element == element]


def audit_policy(
    model: Any,
    policy: Policy | PythonPolicy,
    images: Images,
    classes: Sequence[str],
    *,
    draws: int = 8,
    threshold: float = THRESHOLD,
    seed: int = 0,
    batch: int = 64,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Audit:
    """Measure every element of a policy alone, and the whole policy.

    Args:
        model: called with uint8 (B, K, H, W), answers with Outputs.
        policy: native, or Python (measured as a whole).
        images: labelled images; best such that the model was not trained on.
        classes: (C,) class names of the model.
        draws: views of each image per element.
        threshold: mean fall of the probability that counts as harm.
        seed: same seed, same numbers.
        batch: images per forward pass.
        device: where the model is.
        progress: called with (element, done, total) images.
    """
    ask = _Asker(model, tuple(classes), batch, device)
    parts = elements(policy)
    before, right = ask(images.pixels, images.targets)
    falls = np.empty((len(images.targets), len(parts)))
    left = np.empty_like(falls)
    for column, part in enumerate(parts):
        after, kept = _after(ask, images, part, draws=draws, seed=seed)
        falls[:, column], left[:, column] = before - after, 1.0 - kept
        if progress is not None:
            progress("audit", column + 1, len(parts))
    low, high = _intervals(falls, images, len(classes), seed)
    cells = []
    for number, label in enumerate(classes):
        rows = images.targets == number
        groups = len({images.groups[i] for i in np.flatnonzero(rows).tolist()})
        known = _knows(before[rows], right[rows], len(classes))
        for column, part in enumerate(parts if rows.any() else ()):
            interval = Interval(float(low[column, number]), float(high[column, number]))
            sure = groups >= MIN_GROUPS and known
            cells.append(
                Cell(
                    element=part.name,
                    label=label,
                    images=int(rows.sum()),
                    groups=groups,
                    before=float(before[rows].mean()),
                    fall=float(falls[rows, column].mean()),
                    interval=interval if sure else None,
                    left=_mean(left[rows & right, column]),
                    harmful=sure and interval.low > threshold,
                    known=known,
                )
            )
    present = tuple(dict.fromkeys(cell.label for cell in cells))
    notes = _notes(cells, classes, threshold)
    return Audit(parts, present, tuple(cells), threshold, draws, notes)


def _knows(probability: Float64, right: Bools, num_classes: int) -> bool:
    """Tell whether the model knows a class, by its (n,) untouched images."""
    if not right.size:
        return False
    return bool(probability.mean() >= _KNOWN and right.mean() > 1.0 / num_classes)


@dataclass(frozen=True)
class _Asker:
    """The model as a function of images and their classes."""

    model: Any
    classes: tuple[str, ...]
    batch: int
    device: str

    def __call__(self, pixels: UInt8, targets: Int64) -> tuple[Float64, Bools]:
        """Return (n,) probability of the true class, and whether it is the answer."""
        rows = np.arange(len(pixels))
        told = predict_pool(
            self.model,
            pixels,
            rows,
            ids=[""] * len(pixels),
            classes=self.classes,
            batch=self.batch,
            device=self.device,
        )
        return told.probs[rows, targets], told.predicted == targets


def _after(
    ask: _Asker, images: Images, part: Element, *, draws: int, seed: int
) -> tuple[Float64, Float64]:
    """Return (N,) mean probability of the true class, and share of right answers."""
    probability, kept = np.zeros((2, len(images.targets)))
    for start in range(0, len(images.targets), _BLOCK):
        block = slice(start, start + _BLOCK)
        pixels = np.ascontiguousarray(images.pixels[block])
        number = np.arange(start, start + len(pixels), dtype=np.int64)
        for draw in range(draws):
            views = render(
                part.policy,
                pixels,
                seed=seed,
                stream=f"audit/{part.name}",
                counters=number * draws + draw,
                fill=images.fill,
            )
            told, right = ask(views, images.targets[block])
            probability[block] += told / draws
            kept[block] += right / draws
    return probability, kept


def _mean(values: Float64) -> float | None:
    return float(values.mean()) if values.size else None


def _intervals(
    falls: Float64, images: Images, num_classes: int, seed: int
) -> tuple[Float64, Float64]:
    """Return bounds (P, C) of each element's mean fall on each class."""
    members = images.targets[:, None] == np.arange(num_classes)

    def means(weights: npt.NDArray[np.float32]) -> Float64:
        values = np.full((len(weights), falls.shape[1], num_classes), np.nan)
        for number in range(num_classes):
            rows = members[:, number]
            mine = weights[:, rows].astype(np.float64)
            total = mine.sum(axis=1)
            drawn = total > 0
            sums = mine[drawn] @ falls[rows]
            values[drawn, :, number] = sums / total[drawn, None]
        return values

    return bootstrap_by_group(means, images.groups, images.targets, seed=seed)


def unseen(groups: int) -> float:
    """Return the share of parts that an op may destroy without showing in any group.

    With probability 5 % none of ``groups`` independent parts is among them, so a
    mean fall up to this cannot be ruled out by seeing none.
    """
    share: float = 0.05 ** (1.0 / groups)
    return 1.0 - share


def _notes(
    cells: Sequence[Cell], classes: Sequence[str], threshold: float
) -> list[str]:
    """Say how little is known of which classes; alike ones share a sentence."""
    first = {cell.label: cell for cell in reversed(cells)}
    said: dict[str, list[str]] = {}
    for label in classes:
        for words in _limits(first.get(label), threshold):
            said.setdefault(words, []).append(label)
    return [f"{listing(labels)}: {words}" for words, labels in said.items()]


def _limits(cell: Cell | None, threshold: float) -> list[str]:
    if cell is None:
        return ["no labelled image here, so nothing is known of it"]
    found = []
    count = f"{cell.images} images"
    if cell.groups != cell.images:
        count += f" of {cell.groups} groups"
    if cell.groups < MIN_GROUPS:
        found.append(f"{count}: too few for an interval or a verdict")
    elif cell.known and unseen(cell.groups) > threshold:
        found.append(
            f"{count}: a fall under {unseen(cell.groups):.2f} cannot be ruled out by "
            "seeing none"
        )
    if not cell.known:
        found.append(
            f"the model gives it {cell.before:.2f} on untouched images and so does not "
            "know it: no verdict; train longer, or label more of it"
        )
    return found
