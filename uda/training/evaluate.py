"""Evaluation during training: validation part, raw and averaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from uda.data.streams import Batch
from uda.evaluation.predict import Predictions, predict_pool
from uda.evaluation.rates import confusion_matrix, rates
from uda.training.monitor.grids import error_grid, view_grid
from uda.training.patience import standard_error
from uda.training.served import clean
from uda.training.sizes import images_at

if TYPE_CHECKING:
    from uda.training.trainer import Trainer

SHOWN = 8


def evaluate_state(trainer: Trainer) -> dict[str, float]:
    """Evaluate raw and averaged weights on the validation part.

    Returns:
        ``val/balanced_accuracy`` and so on; empty without a validation part.
    """
    found: dict[str, float] = {}
    if len(trainer.parts.validation) == 0:
        return found
    state = trainer.state
    for name, live in (("val", state.model), ("val_ema", state.ema.model)):
        model = clean(trainer, live)
        predictions = validation_predictions(trainer, model)
        counts = confusion_matrix(
            predictions.targets, predictions.predicted, len(trainer.parts.classes)
        )
        rate = rates(counts)
        metrics = {key: float(rate[key]) for key in ("balanced_accuracy", "macro_f1")}
        loop = trainer.config.loop
        if loop.patience is not None:
            metrics["standard_error"] = standard_error(
                counts, loop.stop_metric, seed=trainer.config.seed, step=state.step
            )
        trainer.writer.evaluation(
            state.step,
            name,
            metrics,
            confusion=counts,
            targets=predictions.targets,
            probs=predictions.probs,
        )
        found |= {f"{name}/{key}": value for key, value in metrics.items()}
    return found


def validation_predictions(trainer: Trainer, model: nn.Module) -> Predictions:
    """Classify the validation part."""
    parts = trainer.parts
    return predict_pool(
        model,
        parts.pool.images,
        parts.validation,
        ids=parts.ids(parts.validation),
        targets=parts.validation_targets,
        classes=parts.classes,
        batch=256,
        device=trainer.device,
    )


def write_view_grid(trainer: Trainer, batch: Batch) -> None:
    """Show weak | strong | prediction | confidence of unlabelled images."""
    if batch.weak is None or batch.strong is None:
        return
    weak, strong = batch.weak[:SHOWN], batch.strong[:SHOWN]
    with torch.no_grad():
        images = images_at(trainer.config, trainer.parts, trainer.state.step - 1)
        model = clean(trainer, trainer.state.ema.model, images)
        leaf = model(batch.weak).served.float()
    confidence, predicted = torch.softmax(leaf, 1).max(1)
    threshold = trainer.config.consistency.threshold
    captions = [
        f"{trainer.parts.classes[int(label)]}\n{float(value):.2f} "
        f"{'kept' if value > threshold else 'masked'}"
        for value, label in zip(confidence[:SHOWN], predicted[:SHOWN], strict=True)
    ]
    trainer.writer.histogram(
        trainer.state.step, "unlabeled/confidence", confidence.cpu().numpy()
    )
    grid = view_grid(_pixels(weak), _pixels(strong), captions)
    trainer.writer.images(trainer.state.step, "unlabeled/views", grid)


def write_worst_errors(trainer: Trainer) -> None:
    """Show the validation images that are wrong with most confidence."""
    parts = trainer.parts
    if len(parts.validation) == 0:
        return
    predictions = validation_predictions(
        trainer, clean(trainer, trainer.state.ema.model)
    )
    wrong = np.flatnonzero(predictions.predicted != predictions.targets)
    worst = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:12]
    if worst.size == 0:
        return
    captions = [
        f"{parts.classes[predictions.targets[i]]} called\n"
        f"{parts.classes[predictions.predicted[i]]} {predictions.confidence[i]:.2f}"
        for i in worst
    ]
    images = np.ascontiguousarray(parts.pool.images[parts.validation[worst]])
    grid = error_grid(images, captions)
    trainer.writer.images(trainer.state.step, "val_ema/worst_errors", grid)


def _pixels(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = images.permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(pixels)
