"""`uda suggest`: from a run and a pile of images to a list of what to label next.

Opens the files; what is chosen, and why, is `uda.evaluation.ranking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.cores import reading_threads
from uda.data.duplicates import Groups, find_groups
from uda.data.finer import detail_size, usual_side
from uda.data.preprocessing import Preprocessing
from uda.data.records import Record
from uda.evaluation import ranking
from uda.evaluation.decision import DecisionRule
from uda.evaluation.files import BATCHES, decode_files
from uda.evaluation.known import Known
from uda.evaluation.pile import ask, listed, pile_records, unnameable
from uda.evaluation.ranking import REASONS, Reason, Scores
from uda.evaluation.tta import NO_TTA, tta_of
from uda.files import write_csv
from uda.models.texture import texture_features
from uda.run.bundle import Bundle

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
HEADER = (
    "path", "folder", "reason", "uncertainty", "rarity", "novelty", "predicted",
    "probability", "label",
)  # fmt: skip


@dataclass(frozen=True)
class Suggestion:
    """An image to label next.

    Attributes:
        record: the image.
        kind: which of the three questions it answers.
        reason: the same in words.
        uncertainty, rarity, novelty: as in `ranking`.
        predicted: class, and its ``probability``.
        other: for ``unsure`` the second class, for ``rare`` the class it may be, and
            its probability; None for ``novel``.
    """

    record: Record
    kind: Reason
    reason: str
    uncertainty: float
    rarity: float
    novelty: float
    predicted: str
    probability: float
    other: tuple[str, float] | None


@dataclass(frozen=True)
class Suggestions:
    """What to label next, and what was not asked about.

    Attributes:
        chosen: the most worth first.
        pile: number of images looked at.
        left_out: number of images by the reason for leaving them out.
        rare: (class, weight) of rare classes, the rarest first.
    """

    chosen: tuple[Suggestion, ...]
    pile: int
    left_out: Mapping[str, int]
    rare: tuple[tuple[str, float], ...]


def suggest(
    bundle: Bundle,
    known: Known,
    unlabeled: Sequence[Path],
    budget: int,
    *,
    rule: DecisionRule | None = None,
    reasons: Sequence[Reason] = REASONS,
    batch: int = 64,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> Suggestions:
    """Choose the images of a pile that are most worth a label.

    Args:
        bundle: the model.
        known: the images that its run has labels of.
        unlabeled: folders, or lists as `uda filter` writes them.
        budget: how many to choose.
        rule: calibrates the probabilities, under the views that it was fitted on;
            None takes them as the model gives them.
        reasons: to choose for.
        batch: images per forward pass.
        device: where the model is.
        seed: decides between equal scores, and of the search for copies.
        progress: called with (stage, done, total).

    Raises:
        DataError: there is no image, or none that can be read.
    """
    records = pile_records(unlabeled)
    threads = reading_threads()
    views = NO_TTA if rule is None else tta_of(rule.tta, bundle)
    answers = ask(
        bundle,
        records,
        tta=views,
        batch=batch,
        device=device,
        threads=threads,
        progress=progress,
    )
    predictions = replace(answers.predictions, rule=rule)
    mine = [records[i] for i in answers.readable]
    found = find_groups(
        [*known.records, *mine],
        seed=seed,
        threads=threads,
        progress=progress,
    )
    kin, out = _kinship(found, known, unnameable(mine))
    fine = _finer(bundle.preprocessing, records)
    teaching = [known.records[i] for i in known.taught]
    features = _features([*teaching, *mine], fine, batch, threads, progress)
    labeled, pile = features[: len(teaching)], features[len(teaching) :]
    labeled = labeled[~np.isnan(labeled).any(axis=1)]
    points, anchors = ranking.directions(pile, labeled)
    counts = [known.counts.get(name, 0) for name in bundle.classes]
    weights = ranking.rare_weights(counts, predictions.probs)
    scores = Scores(
        ranking.uncertainty(predictions.probs),
        ranking.rarity(predictions.probs, weights),
        ranking.novelty(points, anchors, kin),
    )
    free = np.array([i not in out for i in range(len(mine))], dtype=np.bool_)
    chosen = ranking.choose(
        scores, points, budget, kin=kin, out=~free, reasons=reasons, seed=seed
    )
    why = _Words(bundle.classes, counts, weights, predictions.probs)
    order = np.argsort(-weights, kind="stable").tolist()
    return Suggestions(
        tuple(_suggestion(mine[i], i, kind, scores, why) for i, kind in chosen),
        len(records),
        Counter([*out.values(), *("cannot be read" for _ in answers.errors)]),
        tuple((bundle.classes[c], float(weights[c])) for c in order if weights[c] > 0),
    )


def write_suggestions(path: Path, chosen: Sequence[Suggestion]) -> None:
    """Write the list, with an empty column for the labels.

    `uda split --labels` reads it when they are filled in.
    """
    home = path.parent.resolve()
    rows = [
        (
            *listed(entry.record, home),
            entry.reason,
            f"{entry.uncertainty:.4f}",
            f"{entry.rarity:.4f}",
            f"{entry.novelty:.4f}",
            entry.predicted,
            f"{entry.probability:.4f}",
            "",
        )
        for entry in chosen
    ]
    write_csv(path, HEADER, rows)


def _kinship(
    found: Groups, known: Known, nameless: Mapping[int, str]
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Return kin in the pile by place, and {place: why} of what may not be chosen.

    All images of a group are kin, not only the pairs that were found: of exact copies
    and their near copies each is paired with one alone.
    """
    num = len(known.records)
    kin: dict[int, list[int]] = {}
    out = dict(nameless)
    for members in found.members:
        parts = [known.parts[place] for place in members if place < num]
        mine = [place - num for place in members if place >= num]
        for place_ in mine:
            kin[place_] = mine
            if parts:
                why = f"shows the same as an image of the part {parts[0]}"
                out.setdefault(place_, why)
    for place_, digest in enumerate(found.hashes[num:]):
        if digest in known.hashes:
            out.setdefault(place_, "is a file that the split has a label of")
    return kin, out


def _finer(preprocessing: Preprocessing, records: Sequence[Record]) -> Preprocessing:
    size = detail_size(preprocessing.size, usual_side(records))
    return preprocessing if size is None else replace(preprocessing, size=size)


def _features(
    records: Sequence[Record],
    preprocessing: Preprocessing,
    batch: int,
    threads: int,
    progress: Progress | None,
) -> npt.NDArray[Any]:
    """Return (N, F) texture descriptors; not a number where unreadable."""
    rows: list[npt.NDArray[Any]] = []
    for block in decode_files(
        [(record.path, record.file) for record in records],
        preprocessing,
        size=BATCHES * batch,
        threads=threads,
        progress=progress,
    ):
        described = texture_features(block.images, threads=threads)
        good = [error is None for error in block.errors]
        filled = np.full((len(good), described.shape[1]), np.nan)
        filled[good] = described
        rows.append(filled)
    return np.concatenate(rows)


@dataclass(frozen=True)
class _Words:
    """What a reason in words is made of."""

    classes: tuple[str, ...]
    counts: Sequence[int]
    weights: npt.NDArray[np.float64]
    probs: npt.NDArray[np.float64]

    def other(self, row: int, kind: Reason) -> int | None:
        """Return the class that the reason names beside the predicted one."""
        probs = self.probs[row]
        if kind == "unsure":
            return int(np.argsort(-probs, kind="stable")[1])
        return int(np.argmax(probs * self.weights)) if kind == "rare" else None

    def reason(self, row: int, kind: Reason, novelty: float) -> str:
        """Say why an image is worth a label."""
        other = self.other(row, kind)
        if other is None:
            return (
                f"looks unlike anything labelled: {novelty:.1f} times as far from it "
                "as from its likes in the pile"
            )
        name, first = self.classes[other], self.classes[int(self.probs[row].argmax())]
        if kind == "unsure":
            return f"unsure between {first} and {name}"
        num = self.counts[other]
        even = sum(self.counts) / len(self.counts)
        if num < even:
            return f"maybe {name}, of which there are {num} labels"
        return f"maybe {name}, about {self.probs[:, other].mean():.0%} of the pile"


def _suggestion(
    record: Record, row: int, kind: Reason, scores: Scores, why: _Words
) -> Suggestion:
    other = why.other(row, kind)
    probs = why.probs[row]
    novelty = float(scores.novelty[row])
    return Suggestion(
        record=record,
        kind=kind,
        reason=why.reason(row, kind, novelty),
        uncertainty=float(scores.uncertainty[row]),
        rarity=float(scores.rarity[row]),
        novelty=novelty,
        predicted=why.classes[int(probs.argmax())],
        probability=float(probs.max()),
        other=None if other is None else (why.classes[other], float(probs[other])),
    )
