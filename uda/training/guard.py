"""Guards against harm: unlabelled images can make a model worse.

Two rules, both stated in the log, in TensorBoard and in status.json:

1. Trust. Where cross-validation on the labelled images alone says that the labels
   carry little, pseudo-labels would be mostly wrong; the weight of the unlabelled
   branch falls from full at a skill of 0.6 to nothing at 0.3.
2. Hand-over. A run that ends worse on the validation part than its own supervised
   warm start, by more than the standard error, hands over the warm start; one that
   ends worse than the texture teacher, by as much, hands over that. Without full
   trust it hands over the network only if that is ahead, and the error then takes the
   images of a group for no more evidence than one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from uda.evaluation.rates import confusion_matrix, rates
from uda.files import atomic_write
from uda.run.bundle import save_weights, serve_instead
from uda.run.layout import NETWORK
from uda.training.build import model_spec
from uda.training.evaluate import validation_predictions
from uda.training.multilabel import label_accuracy
from uda.training.served import clean
from uda.training.texture import (
    TextureTeacher,
    save_classifier,
    validation_metrics,
)

if TYPE_CHECKING:
    from torch import nn

    from uda.training.trainer import Trainer

NO_TRUST, FULL_TRUST = 0.3, 0.6


def trust_of(skill: float | None) -> float:
    """Map skill (0 chance, 1 perfect) to the factor of the unlabelled weight.

    Labels that cannot be cross-validated (None) have shown nothing: no trust.
    """
    if skill is None:
        return 0.0
    return float(np.clip((skill - NO_TRUST) / (FULL_TRUST - NO_TRUST), 0.0, 1.0))


def ask_texture(trainer: Trainer, teacher: TextureTeacher | None) -> None:
    """Let texture give its opinion, and the labels show what they carry."""
    if teacher is None:
        return
    skill = teacher.skill(trainer.config.seed)
    trainer.trust = trust_of(skill)
    trainer.texture = teacher.classifier(trainer.trust)
    trainer.opinion = teacher.table(trainer.texture)
    if trainer.trust == 0:
        trainer.stream = trainer.stream.labeled_only()
    trainer.run.update_status("running", skill=skill, trust=trainer.trust)
    if skill is None:
        text = "too few labelled images per class to cross-validate the labels"
    else:
        text = f"cross-validated skill of the labels {skill:.2f} (0 chance, 1 perfect)"
    text = f"{text}; the unlabelled branch gets {trainer.trust:.0%} weight"
    if trainer.trust > 0:
        say(trainer, text)
        return
    text += (
        ". So this run is a supervised one: such labels would mostly make wrong "
        "pseudo-labels. Label more images of each class, start from trained weights "
        "(--weights), or overrule it with --set consistency.texture_weight=0"
    )
    trainer.writer.console.warn(text)
    trainer.writer.text("guard", text, trainer.state.step)


def say(trainer: Trainer, text: str) -> None:
    """Tell on the console and in TensorBoard."""
    trainer.writer.console.note(text)
    trainer.writer.text("guard", text, trainer.state.step)


def keep_warm_start(trainer: Trainer) -> None:
    """Keep the averaged weights as they are before unlabelled images come in."""
    if not trainer.config.semi_supervised or len(trainer.parts.validation) == 0:
        return
    model = clean(trainer, trainer.state.ema.model)
    accuracy, error = balanced_accuracy(trainer, model)
    save_weights(trainer.run.weights, "warm", model)
    trainer.run.update_status(
        "running", warm_start={"balanced_accuracy": accuracy, "standard_error": error}
    )


def balanced_accuracy(trainer: Trainer, model: nn.Module) -> tuple[float, float]:
    """Return balanced accuracy on the validation part and its standard error."""
    predictions = validation_predictions(trainer, model)
    if predictions.several:
        return label_accuracy(predictions)
    return accuracy_of(
        confusion_matrix(
            predictions.targets, predictions.predicted, len(trainer.parts.classes)
        )
    )


def accuracy_of(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return balanced accuracy and its standard error from (C, C) counts."""
    support = counts.sum(1)
    present = support > 0
    # One right of one is not certainty: shrink as Laplace did.
    recall = (np.diag(counts)[present] + 1) / (support[present] + 2)
    variance = recall * (1 - recall) / support[present]
    error = float(np.sqrt(variance.sum()) / present.sum())
    return float(rates(counts)["balanced_accuracy"]), error


def opinion_metrics(
    trainer: Trainer, opinion: torch.Tensor | None = None
) -> dict[str, float]:
    """Return the opinion's numbers on the validation part; none without either.

    ``standard_error`` is that of its balanced accuracy, by images with full trust and
    by groups without it (`grouped_error`).

    Args:
        trainer: the run.
        opinion: (N, C) log-probabilities of the opinion; None for it as it is.
    """
    parts = trainer.parts
    opinion = trainer.opinion if opinion is None else opinion
    if opinion is None or len(parts.validation) == 0:
        return {}
    rows = torch.from_numpy(parts.validation).to(opinion.device)
    named = opinion[rows].argmax(1).cpu().numpy()
    counts = confusion_matrix(parts.validation_targets, named, len(parts.classes))
    if trainer.trust == 1:
        error = accuracy_of(counts)[1]
    else:
        right = named == parts.validation_targets
        error = grouped_error(parts.validation_targets, right, parts.validation_groups)
    return validation_metrics(parts, named) | {"standard_error": error}


def grouped_error(
    targets: npt.NDArray[np.int64],
    right: npt.NDArray[np.bool_],
    groups: Sequence[str],
) -> float:
    """Return the standard error of balanced accuracy where whole groups are drawn.

    Linearised and clustered by group (Liang and Zeger, Biometrika 1986), but never
    less than of as many single images as each class has groups: a class whose images
    are all of one group does not vary, and tells nothing of others all the same.

    Args:
        targets: (N,) true classes.
        right: (N,) whether the answer was.
        groups: (N,) names.
    """
    _, classes = np.unique(targets, return_inverse=True)
    _, clusters = np.unique(np.asarray(groups), return_inverse=True)
    support = np.bincount(classes)
    recall = np.bincount(classes, weights=right) / support
    strays = (right - recall[classes]) / support[classes] / len(support)
    sums, num = np.bincount(clusters, weights=strays), clusters.max() + 1
    clustered = np.square(sums).sum() * num / max(num - 1, 1)
    pairs = np.unique(np.stack([classes, clusters], axis=1), axis=0)
    seen = np.bincount(pairs[:, 0])  # groups of each class
    rate = (recall * seen + 1) / (seen + 2)  # shrunk as in accuracy_of
    single = (rate * (1 - rate) / seen).sum() / len(support) ** 2
    return float(np.sqrt(max(clustered, single)))


def hand_over(trainer: Trainer, metrics: dict[str, float]) -> dict[str, float]:
    """Replace final averaged weights by the warm start where those are worse.

    Returns:
        The metrics of what is handed over.
    """
    warm = trainer.run.read_status().get("warm_start")
    final = metrics.get("val_ema/balanced_accuracy")
    if warm is None or final is None:
        return metrics
    limit = warm["balanced_accuracy"] - warm["standard_error"]
    if final >= limit:
        trainer.run.update_status("running", handed_over="final")
        return metrics
    serve_instead(trainer.run.weights, "warm")
    trainer.run.update_status("running", handed_over="warm start")
    way_out = "fewer --steps"
    if trainer.trust > 0:  # else no unlabelled image was looked at
        way_out += ", a higher --threshold or a gentler --strong policy"
    say(
        trainer,
        f"the run ended worse on validation ({final:.3f}) than its warm start "
        f"({warm['balanced_accuracy']:.3f} ± {warm['standard_error']:.3f}), and hands "
        f"over that. Try {way_out}",
    )
    # The other numbers of the averaged weights are of those that nobody gets.
    kept = {k: v for k, v in metrics.items() if not k.startswith("val_ema/")}
    return kept | {"val_ema/balanced_accuracy": warm["balanced_accuracy"]}


def hand_over_texture(trainer: Trainer, metrics: dict[str, float]) -> dict[str, float]:
    """Replace the network by the texture teacher where that is the better one.

    With full trust in the labels, texture has to be ahead on the validation part by
    more than the standard error. With less, the network has to be: where labels do not
    carry well from group to group, the simpler model has the better odds. With a tree
    of classes the network stays, since only it decides node by node.

    Returns:
        The metrics of what is handed over.
    """
    found, final = opinion_metrics(trainer), metrics.get("val_ema/balanced_accuracy")
    classifier, parts, run = trainer.texture, trainer.parts, trainer.run
    if not found or final is None or classifier is None or parts.tree is not None:
        return metrics
    other, error = found["val_ema/balanced_accuracy"], found.pop("standard_error")
    run.update_status("running", texture_accuracy=other, texture_error=error)
    full = trainer.trust == 1
    ahead = other - final if full else final - other
    if (ahead > error) != full:
        return metrics
    atomic_write(run.network, run.model.read_bytes())  # the network can still be asked
    spec = replace(model_spec(trainer.config, parts), backbone="texture", head="flat")
    save_classifier(run, spec, classifier, parts.texture_pool)
    run.update_status("running", handed_over="texture")
    height, width = classifier.size_of(parts.texture_pool.images.shape[1:3])
    what = "descriptors" if classifier.texture else "deviations from the typical image"
    found_it = "worse than" if full else "not clearly ahead of"
    say(
        trainer,
        f"the network ended {found_it} the texture teacher on validation "
        f"({final:.3f}, {other:.3f} ± {error:.3f}), and the run hands over that: "
        f"evaluate and predict use {what} of {height}x{width} pixels, which `uda "
        "export` cannot write as a network. Label more images, train longer, or start "
        "from trained weights (--weights). evaluate, predict, tune and export take the "
        f"network all the same with --weights {NETWORK}",
    )
    kept = {k: v for k, v in metrics.items() if not k.startswith("val_ema/")}
    return kept | found
