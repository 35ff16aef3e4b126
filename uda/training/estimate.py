"""The mix of the unlabelled images, estimated where nobody states it.

At the step where the unlabelled branch starts, the warm-started network names the
unlabelled images, and its mistakes on the validation part say what mix of classes
would have made it say so (Lipton et al., ICML 2018). Expectation maximisation
(Saerens et al., 2002) asks another question of the same answers; where the two
differ much, neither is to be trusted, and that is said.

The estimate lies in ``objective_state`` like everything that is remembered, so that
a resumed run goes on with the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from uda.evaluation.calibration import fit_temperature, scaled
from uda.objectives.priors import prior_by_confusion, prior_by_em
from uda.training.objective import build_objective, start_memory
from uda.training.prior import learned_prior
from uda.training.schedules import consistency_start
from uda.training.served import clean
from uda.training.sizes import images_at
from uda.training.step import FLIPS
from uda.training.teacher import prediction_table

if TYPE_CHECKING:
    from uda.training.trainer import Trainer

Ints = npt.NDArray[np.int64]

_LEAST_SHARE = 0.001
_APART = 0.2
PRIOR = "prior"


def settle_prior(trainer: Trainer) -> None:
    """Estimate the prior when the unlabelled branch starts, and use it from there.

    Called before every step; does nothing but where the prior is to be estimated
    and is not in use yet, which is once a run and once after a resume.
    """
    config, state = trainer.config, trainer.state
    if config.consistency.prior != "estimate" or trainer.objective.prior is not None:
        return
    if trainer.trust == 0 or state.step < consistency_start(config):
        return
    known = state.objective_state.get(PRIOR)
    if known is None:
        known = _estimate(trainer)
        state.objective_state[PRIOR] = known.to(trainer.device)
    _use(trainer, known)


def _use(trainer: Trainer, prior: Tensor) -> None:
    """Give the losses the prior; what they remember already stays."""
    shares = tuple(prior.tolist())
    trainer.objective = build_objective(
        trainer.config, trainer.parts, trainer.device, estimated=shares
    )
    memory = start_memory(trainer.objective, trainer.parts, trainer.device)
    trainer.state.objective_state = memory | trainer.state.objective_state
    trainer.writer.expect(shares)


def _estimate(trainer: Trainer) -> Tensor:
    """Return the (C,) float64 prior of the unlabelled images, and tell about it."""
    parts, config = trainer.parts, trainer.config
    rows = parts.pile
    images = images_at(config, parts, trainer.state.step)
    table = prediction_table(
        clean(trainer, trainer.state.ema.model, images),
        images,
        np.concatenate([rows, parts.validation]),
        num_classes=len(parts.classes),
        flips=FLIPS[config.consistency.teacher_flips],
    ).leaf.cpu()
    said = table[torch.from_numpy(rows)].numpy()
    tried = table[torch.from_numpy(parts.validation)].numpy()
    targets = parts.validation_targets
    confusion = confusion_of(targets, tried.argmax(1), len(parts.classes))
    predicted = np.bincount(said.argmax(1), minlength=len(parts.classes))
    inverted = prior_by_confusion(confusion, torch.from_numpy(predicted))
    learned = torch.tensor(learned_prior(config, parts.class_counts))
    # It believes probabilities, so they have to be right on average.
    calm = scaled(said, fit_temperature(tried, targets))
    likely = prior_by_em(torch.from_numpy(np.exp(calm)), learned)
    prior = inverted.clamp(min=max(_LEAST_SHARE, 0.5 / max(1, len(rows))))
    prior = prior / prior.sum()
    _tell(trainer, prior, likely)
    return prior


def confusion_of(targets: Ints, told: Ints, num_classes: int) -> Tensor:
    """Return (C, C) counts, rows true, of validation images and their predictions."""
    counts = confusion_matrix(targets, told, labels=range(num_classes))
    return torch.from_numpy(counts)


def _tell(trainer: Trainer, prior: Tensor, likely: Tensor) -> None:
    classes, step = trainer.parts.classes, trainer.state.step
    shares = dict(zip(classes, prior.tolist(), strict=True))
    other = dict(zip(classes, likely.tolist(), strict=True))
    apart = 0.5 * float((prior - likely).abs().sum())
    text = (
        f"estimated mix of the unlabelled images: {_words(shares)} (by the confusion "
        f"matrix of the validation part); expectation maximisation says "
        f"{_words(other)}, {apart:.2f} apart"
    )
    trainer.run.update_status(
        "running",
        prior={"shares": shares, "by_em": other, "apart": apart, "step": step},
    )
    trainer.writer.text("prior", text, step)
    if apart <= _APART:
        trainer.writer.console.note(text)
        return
    trainer.writer.console.warn(
        f"{text}. The two differ much, so take neither as known: state the mix "
        "(--prior CLASS=SHARE,…) if the line's own reject rate tells it"
    )


def _words(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
