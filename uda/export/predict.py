"""From image files to answers of an exported model; for ONNX without torch.

Files are decoded and resized exactly as the run does it, by the description.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uda.errors import UsageError
from uda.evaluation.files import BATCHES, Block, Progress, decode_files
from uda.evaluation.predict import Predictions
from uda.evaluation.rulefile import require_tta
from uda.evaluation.tta import NONE, Tta, parse_tta
from uda.export.description import beside, require_exportable
from uda.export.opening import Answer, Exported, Float32, UInt8

# The smallest probability with full precision: its logarithm is finite.
_TINY = np.finfo(np.float32).tiny
NAME = "model"


def answering(exported: Exported, *, decision: bool, tta: str | None) -> Exported:
    """Return an exported model that decides, or not, and answers for some views.

    Args:
        exported: the opened model.
        decision: keep the rule of the description.
        tta: label of the views; None for those of the description, and for none where
            its rule is left aside.

    Raises:
        UsageError: no rule to leave aside, views that an exported file cannot take,
            or other ones than the rule's.
    """
    described, side = exported.description, beside(exported.path)
    if not decision and described.rule is None:
        raise UsageError(
            f"--no-decision has no effect: {side} holds no decision rule; "
            "leave the option out"
        )
    if not decision:  # the views are the rule's: a run leaves both aside
        described = replace(described, rule=None, tta=NONE)
    if tta is None:
        return replace(exported, description=described)
    require_exportable(tta, "predict with the run")
    if described.rule is not None:
        require_tta(described.rule, tta, side, "RUN")
    return replace(exported, description=replace(described, tta=tta))


def predict_files(
    exported: Exported,
    files: Sequence[tuple[str, Path]],
    *,
    batch: int = 64,
    threads: int = 2,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """Classify files with an exported model.

    Args:
        exported: the opened model.
        files: (id, path) of each image.
        batch: images per call of the model.
        threads: threads that decode.
        progress: called with ("predict", done, total).

    Yields:
        Blocks that together hold every file once, in order; their predictions are
        under the name "model" and have the thresholds and the rule of the description,
        under its views.

    Raises:
        DataError: the model's answer is not a number, or not one per class.
    """
    blocks = decode_files(
        files,
        exported.description.preprocessing,
        size=BATCHES * batch,
        threads=threads,
        progress=progress,
    )
    for block in blocks:
        answers = predictions(exported, block.ids, block.images, batch=batch)
        yield Block(block.start, block.errors, {NAME: answers})


def predictions(
    exported: Exported,
    ids: Sequence[str],
    images: npt.NDArray[np.uint8],
    *,
    batch: int = 64,
) -> Predictions:
    """Classify pixels with an exported model.

    Args:
        exported: the opened model.
        ids: (N,) name of each image.
        images: (N, H, W, K) uint8.
        batch: images per call of the model.

    Raises:
        DataError: the model's answer is not a number, or not one per class.
    """
    described = exported.description
    shape = (len(ids), len(described.classes))
    pixels = images.transpose(0, 3, 1, 2)
    answer = averaged(
        exported.answer, parse_tta(described.tta, described.preprocessing)
    )
    parts = [
        answer(pixels[start : start + batch]) for start in range(0, len(ids), batch)
    ]
    probs = np.concatenate(parts) if parts else np.zeros(shape, dtype=np.float32)
    several = described.link == "sigmoid"
    return Predictions(
        ids=list(ids),
        targets=np.full(shape if several else shape[:1], -1, dtype=np.int64),
        log_probs=np.log(np.maximum(probs, _TINY)).astype(np.float32),
        classes=described.classes,
        link=described.link,
        thresholds=described.thresholds,
        rule=described.rule,
        tta=described.tta,
    )


def averaged(answer: Answer, tta: Tta) -> Answer:
    """Return what answers by the mean of the probabilities of some views.

    Args:
        answer: (B, K, H, W) uint8 -> (B, C) probabilities.
        tta: the views.
    """

    def mean(images: UInt8) -> Float32:
        pixels = images.transpose(0, 2, 3, 1)
        answers = [answer(view(pixels).transpose(0, 3, 1, 2)) for view in tta.views]
        if len(answers) == 1:
            return answers[0]
        return np.asarray(np.mean(answers, axis=0, dtype=np.float64), np.float32)

    return mean
