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
from uda.models.forward import at_once
from uda.models.links import Link, link_of, log_probs
from uda.training.monitor.grids import error_grid, view_grid
from uda.training.multilabel import quick_metrics
from uda.training.patience import standard_error
from uda.training.served import clean
from uda.training.sizes import images_at
from uda.training.step import Terms

if TYPE_CHECKING:
    from uda.training.trainer import Trainer

SHOWN = 8
_TAUGHT = 0.5  # of the weight of an image, where a method gives it any


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
        if predictions.several:
            metrics, recall = quick_metrics(predictions)
            trainer.writer.label_evaluation(state.step, name, metrics, recall)
            found |= {f"{name}/{key}": value for key, value in metrics.items()}
            continue
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
        batch=at_once(parts.pool.images.shape, 256),
        device=trainer.device,
    )


def write_view_grid(trainer: Trainer, batch: Batch, terms: Terms) -> None:
    """Show weak | strong | prediction | confidence of unlabelled images.

    Args:
        trainer: of the run.
        batch: of the step that was just made.
        terms: of the same step; they know which images taught, whoever the teacher.
    """
    if batch.weak is None or batch.strong is None or terms.unlabeled is None:
        return
    weak, strong = batch.weak[:SHOWN], batch.strong[:SHOWN]
    with torch.no_grad():
        images = images_at(trainer.config, trainer.parts, trainer.state.step - 1)
        model = clean(trainer, trainer.state.ema.model, images)
        leaf = model(batch.weak).served.float()
    answers = _answers(leaf, link_of(model), trainer.parts.classes)
    taught = terms.unlabeled.mask[:SHOWN].tolist()
    names = answers.names_of(answers.predicted)[:SHOWN]
    captions = [
        f"{name}\n{value:.2f} {'kept' if mask >= _TAUGHT else 'masked'}"
        for value, name, mask in zip(
            answers.confidence[:SHOWN], names, taught, strict=True
        )
    ]
    trainer.writer.histogram(
        trainer.state.step, "unlabeled/confidence", answers.confidence
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
    wrong = np.flatnonzero(predictions.wrong)
    worst = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:12]
    if worst.size == 0:
        return
    true = predictions.names_of(predictions.targets[worst])
    named = predictions.names_of(predictions.predicted[worst])
    sure = predictions.confidence[worst]
    captions = [
        f"{one} called\n{other} {value:.2f}"
        for one, other, value in zip(true, named, sure, strict=True)
    ]
    images = np.ascontiguousarray(parts.pool.images[parts.validation[worst]])
    grid = error_grid(images, captions)
    trainer.writer.images(trainer.state.step, "val_ema/worst_errors", grid)


def _answers(leaf: torch.Tensor, link: Link, classes: tuple[str, ...]) -> Predictions:
    """Return what (U, C) logits say, of images about which nothing is known."""
    logs = log_probs(leaf, link).cpu().numpy()
    shape = logs.shape if link == "sigmoid" else logs.shape[:1]
    ids = [str(row) for row in range(len(logs))]
    return Predictions(ids, np.full(shape, -1), logs, classes, link)


def _pixels(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = images.permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(pixels)
