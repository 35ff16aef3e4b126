"""Which unlabelled images are worth training on: domain-relevance filtering.

A model of the user's own images scores each image of a large, mixed pile; of every
predicted class the surest are kept, so that rare classes are not starved. Source:
Xie et al., "Unsupervised Data Augmentation", NeurIPS 2020, section 2.4: a class's
best by probability, equally many of each class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from uda.cores import reading_threads
from uda.data.duplicates import Groups, find_groups
from uda.data.partition import connect
from uda.data.records import Record
from uda.evaluation.pile import ask, listed, pile_records, unnameable
from uda.evaluation.tta import tta_of
from uda.files import write_csv
from uda.run.bundle import require_one_label

if TYPE_CHECKING:
    from uda.run.bundle import Bundle

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HEADER = ("path", "folder", "class", "confidence", "kept", "reason")
# Other exposures, shifted and turned crops are other images to a network.
_SAME = ("exact", "near")


@dataclass(frozen=True)
class Quota:
    """How many images of each predicted class are kept.

    Attributes:
        per_class: the same number of every class, as published; or None.
        share: without it this share of what is predicted as the class, rounded up.
        min_confidence: less sure ones are left out, also where that leaves the quota
            unfilled: a rare class's quota is not to be filled with junk.
    """

    per_class: int | None = None
    share: float = 0.5
    min_confidence: float = 0.0

    def of(self, available: int) -> int:
        """Return how many of so many images of a class are kept."""
        if self.per_class is not None:
            return min(self.per_class, available)
        # In binary 0.55 * 100 is a little more than 55, and would round up to 56.
        return int(np.ceil(round(self.share * available, 9)))


@dataclass(frozen=True)
class Scored:
    """One unlabelled image and what became of it.

    Attributes:
        record: the image; ``label`` is the predicted class, None if unreadable.
        confidence: of the predicted class; 0 if unreadable.
        kept: whether to train on it.
        reason: why, in words.
    """

    record: Record
    confidence: float
    kept: bool
    reason: str


def filter_images(
    bundle: Bundle,
    unlabeled: Sequence[Path],
    quota: Quota,
    *,
    batch: int = 64,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Scored]:
    """Score the images of some folders, drop near copies, fill the quotas.

    Args:
        bundle: the model, its classes and preprocessing.
        unlabeled: folders, or lists as `write_list` writes them.
        quota: how many to keep.
        batch: images per forward pass.
        device: where the model is.
        seed: of the search for copies.
        progress: called with (stage, done, total).

    Returns:
        One entry per image, in the order of folders and paths.

    Raises:
        DataError: there is no image, or none can be read.
        UsageError: the model gives several labels per image.
    """
    require_one_label(bundle, "`uda filter` keeps the surest of each predicted class")
    records = pile_records(unlabeled)
    threads = reading_threads()
    # What a network has never seen it is often sure of by accident, and differently
    # so for each flip.
    answers = ask(
        bundle,
        records,
        tta=tta_of("flips", bundle),
        batch=batch,
        device=device,
        threads=threads,
        progress=progress,
    )
    readable = answers.readable
    scores = np.zeros((len(records), len(bundle.classes)))
    scores[readable] = answers.predictions.probs
    predicted, confidence = scores.argmax(1), scores.max(1)
    found = find_groups(
        [records[i] for i in readable], seed=seed, threads=threads, progress=progress
    )
    left_out = {i: f"cannot be read: {why}" for i, why in answers.errors.items()}
    left_out |= unnameable(records)
    copies = near_copies(found, confidence[readable])
    for place, best in copies.items():
        row = readable[place]
        name = records[readable[best]].path
        left_out.setdefault(row, f"near copy of {name}, which is surer")
    kept, reasons = choose(
        predicted, confidence, quota, classes=bundle.classes, left_out=left_out
    )
    named: list[str | None] = [bundle.classes[number] for number in predicted]
    for i in answers.errors:
        named[i] = None
    return [
        Scored(
            _labeled(record, named[i]),
            float(confidence[i]),
            bool(kept[i]),
            reasons[i],
        )
        for i, record in enumerate(records)
    ]


def choose(
    predicted: Ints,
    confidence: Floats,
    quota: Quota,
    *,
    classes: Sequence[str],
    left_out: Mapping[int, str],
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Keep the surest of every predicted class.

    Args:
        predicted: (N,) class indices.
        confidence: (N,) in 0..1.
        quota: how many.
        classes: (C,) names.
        left_out: reason by place of images that are out already; they fill no quota.

    Returns:
        (N,) kept, and a reason for each.
    """
    kept = np.zeros(len(predicted), dtype=np.bool_)
    reasons = [left_out.get(i, "") for i in range(len(predicted))]
    free = np.array([not reason for reason in reasons], dtype=np.bool_)
    for number, name in enumerate(classes):
        mine = np.flatnonzero(free & (predicted == number))
        ranked = mine[np.argsort(-confidence[mine], kind="stable")]
        most = quota.of(len(ranked))
        for rank, row in enumerate(ranked.tolist(), start=1):
            if confidence[row] < quota.min_confidence:
                reasons[row] = f"confidence below {quota.min_confidence:g}"
            elif rank > most:
                reasons[row] = f"rank {rank} of {name}, of which {most} are kept"
            else:
                kept[row] = True
                reasons[row] = f"rank {rank} of the {most} kept of {name}"
    return kept, reasons


def near_copies(found: Groups, confidence: Floats) -> dict[int, int]:
    """Return {place: place of the surest image that shows the same}."""
    pairs = [(p.first, p.second) for p in found.pairs if p.relation in _SAME]
    keys: list[list[int]] = [[-1 - i] for i in range(len(found.paths))]
    for number, pair in enumerate(pairs):
        for place in pair:
            keys[place].append(number)
    units = connect(keys)
    best: dict[int, int] = {}
    for place in np.argsort(-confidence, kind="stable").tolist():
        best.setdefault(int(units[place]), place)
    surest = [best[int(unit)] for unit in units]
    return {i: first for i, first in enumerate(surest) if first != i}


def write_list(path: Path, scored: Sequence[Scored]) -> None:
    """Write every image with its score, whether it is kept, and why.

    `uda train DATA --unlabeled LIST` takes the images that are kept.
    """
    home = path.parent.resolve()
    rows = [
        (
            *listed(entry.record, home),
            entry.record.label or "",
            f"{entry.confidence:.6f}",
            int(entry.kept),
            entry.reason,
        )
        for entry in scored
    ]
    write_csv(path, HEADER, rows)


def _labeled(record: Record, label: str | None) -> Record:
    return Record(record.path, record.root, label, prefix=record.prefix)
