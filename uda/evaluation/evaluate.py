"""Evaluate a run: each image decoded once, EMA and raw weights side by side.

The same call for a part of the split and for a folder of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from uda.cores import reading_threads
from uda.data.table import listing
from uda.errors import DataError
from uda.evaluation.decided import measure_decision
from uda.evaluation.decision import DecisionRule
from uda.evaluation.files import predict_files
from uda.evaluation.metrics import measure
from uda.evaluation.multilabel import AnyMetrics, measure_labels
from uda.evaluation.nodes import node_metrics
from uda.evaluation.parts import EvaluationSet
from uda.evaluation.predict import Predictions
from uda.evaluation.thresholds import own_thresholds
from uda.evaluation.tta import NO_TTA, Tta
from uda.run.bundle import Bundle, load_bundle
from uda.run.layout import NETWORK, RunFolder

Progress = Callable[[str, int, int], None]
WEIGHTS = ("ema", "raw")
MOST_BAD = 0.05  # share of unreadable images that still gives honest numbers


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, per kind of weights.

    Attributes:
        images: what was read.
        predictions: by weights, for the images that could be decoded.
        metrics: by weights.
        skipped: (path, reason) of the others.
        kind: of the run, ``network`` or ``texture``.
    """

    images: EvaluationSet
    predictions: dict[str, Predictions]
    metrics: dict[str, AnyMetrics]
    skipped: list[tuple[str, str]]
    kind: str = "network"


def load_bundles(run: Path, first: str = "ema") -> dict[str, Bundle]:
    """Open a run with every kind of weights that it has, ``first`` in front.

    A texture run has one set of weights, called ``ema`` like any run's main one; a
    run with a supervised warm start has that too, called ``warm``.
    """
    bundle = load_bundle(run, weights=first)
    if bundle.kind == "texture" or first == NETWORK:
        return {first: bundle}
    others = [name for name in WEIGHTS if name != first]
    if (bundle.folder / "weights" / "warm.safetensors").is_file():
        others.append("warm")
    return {first: bundle} | {n: load_bundle(run, weights=n) for n in others}


def place(bundle: Bundle, device: str) -> object:
    """Return a bundle's model on a device; a texture model stays where it is."""
    move = getattr(bundle.model, "to", None)
    return bundle.model if move is None else move(device)


@dataclass(frozen=True)
class Answered:
    """What models said to the images that could be decoded.

    Attributes:
        predictions: by weights.
        groups: (N,) of these images.
        skipped: (path, reason) of the others.
    """

    predictions: dict[str, Predictions]
    groups: list[str]
    skipped: list[tuple[str, str]]


def evaluate(
    bundles: dict[str, Bundle],
    images: EvaluationSet,
    *,
    good_class: str | None = None,
    rules: Mapping[str, DecisionRule] | None = None,
    batch: int = 64,
    device: str = "cpu",
    progress: Progress | None = None,
    tta: Tta = NO_TTA,
) -> Evaluation:
    """Classify a set of images and measure the answers.

    Args:
        bundles: the models by weights; the first is the main one.
        images: what to read.
        good_class: class of parts without a defect, for escape and overkill.
        rules: by weights, what is done with an answer; without one the likeliest
            class is taken.
        batch: images per forward pass.
        device: where to compute.
        progress: called with ("predict", done, total).
        tta: the views of each image whose probabilities are averaged.

    Raises:
        DataError: when more than one image and 5 % of them cannot be decoded, or
            all; or a rule was fitted on other views.
    """
    first = next(iter(bundles.values()))
    found = answer(
        bundles, images, batch=batch, device=device, progress=progress, tta=tta
    )
    ruled = {
        name: replace(entry, rule=(rules or {}).get(name))
        for name, entry in found.predictions.items()
    }
    metrics = {
        name: _measured(entry, first, good_class, found.groups)
        for name, entry in ruled.items()
    }
    return Evaluation(images, ruled, metrics, found.skipped, first.kind)


def answer(
    bundles: dict[str, Bundle],
    images: EvaluationSet,
    *,
    batch: int = 64,
    device: str = "cpu",
    most_bad: float = MOST_BAD,
    progress: Progress | None = None,
    tta: Tta = NO_TTA,
) -> Answered:
    """Classify a set of images, each decoded once for all weights.

    Raises:
        DataError: when more than ``most_bad`` of the images cannot be decoded; 5 %
            if left.
    """
    first = next(iter(bundles.values()))
    pieces: dict[str, list[Predictions]] = {name: [] for name in bundles}
    reasons: list[str | None] = []
    for block in predict_files(
        {name: place(bundle, device) for name, bundle in bundles.items()},
        images.files,
        classes=first.classes,
        preprocessing=first.preprocessing,
        batch=batch,
        threads=reading_threads(),
        device=device,
        progress=progress,
        tta=tta,
    ):
        reasons += block.errors
        for name, answers in block.predictions.items():
            pieces[name].append(answers)
    good = [row for row, reason in enumerate(reasons) if reason is None]
    skipped = [
        (name, reason)
        for (name, _), reason in zip(images.files, reasons, strict=True)
        if reason is not None
    ]
    _refuse_many_bad(skipped, most_bad, len(images.files))
    joined = {
        name: _joined(parts, images, good, first) for name, parts in pieces.items()
    }
    return Answered(joined, [images.groups[row] for row in good], skipped)


def _joined(
    pieces: list[Predictions], images: EvaluationSet, good: list[int], bundle: Bundle
) -> Predictions:
    """Return the answers to the images that could be decoded, with their truth."""
    run = RunFolder(bundle.folder)
    return Predictions(
        ids=[images.files[row][0] for row in good],
        targets=images.targets[good],
        log_probs=np.concatenate([piece.log_probs for piece in pieces]),
        classes=bundle.classes,
        link=bundle.link,
        tta=pieces[0].tta,
        thresholds=own_thresholds(run.thresholds, bundle.classes, bundle.link),
    )


def _measured(
    predictions: Predictions, bundle: Bundle, good_class: str | None, groups: list[str]
) -> AnyMetrics:
    if predictions.several:
        return measure_labels(predictions, groups=groups)
    found = replace(
        measure(predictions, good_class=good_class, groups=groups),
        decision=measure_decision(predictions, good_class=good_class, groups=groups),
    )
    if bundle.tree is None:
        return found
    return replace(found, nodes=node_metrics(predictions, bundle.tree, groups=groups))


def _refuse_many_bad(skipped: list[tuple[str, str]], share: float, total: int) -> None:
    # One is never many, or a broken file of a small part could only be restored.
    none_left = len(skipped) == total and share < 1
    if len(skipped) > max(1, share * total) or none_left:
        named = listing([f"{path} ({reason})" for path, reason in skipped], 5)
        raise DataError(
            f"{len(skipped)} of {total} images cannot be decoded, so the numbers would "
            f"not be about your data; repair or remove them: {named}"
        )
