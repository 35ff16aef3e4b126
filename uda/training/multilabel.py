"""Several labels per image in training: the losses and the quick numbers.

The rest of training sees (B, C) targets in place of (B,) and asks nobody why.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uda.data.sampling import class_probabilities
from uda.evaluation.predict import Predictions
from uda.evaluation.rates import Ranking, ratio
from uda.objectives.consistency.bernoulli import BernoulliUda
from uda.objectives.consistency.method import Method
from uda.objectives.labeled import Labeled
from uda.objectives.multilabel import (
    asymmetric,
    binary_cross_entropy,
    positive_weights,
)

if TYPE_CHECKING:
    from uda.training.config import RunConfig
    from uda.training.prepare import Parts

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def drawn_shares(config: RunConfig, parts: Parts) -> Floats:
    """Return (C,) the share of the drawn labelled images that show each class.

    The sampler draws by the rarest class of an image; other classes come along.
    """
    strata = parts.drawn_as
    sizes = np.bincount(strata)
    shares = class_probabilities(
        sizes,
        power=config.supervised.sampling_power,
        max_repeat=config.supervised.max_repeat,
    )
    each = (shares / np.maximum(sizes, 1))[strata]
    return np.asarray(each @ parts.targets, dtype=np.float64)


def label_branches(
    config: RunConfig, parts: Parts, device: torch.device
) -> tuple[Labeled, Method]:
    """Return the supervised branch and the consistency method of a run."""
    settings, unlabeled = config.supervised, config.consistency
    loss = partial(binary_cross_entropy)
    if settings.loss == "asymmetric":
        loss = partial(asymmetric)
    elif settings.class_weights != "none":
        shares = torch.from_numpy(drawn_shares(config, parts))
        weights = positive_weights(shares, settings.class_weights).to(device)
        loss = partial(binary_cross_entropy, positive_weights=weights)
    hard = config.method == "fixmatch"
    temperature = 0.0 if hard else unlabeled.temperature
    return Labeled(loss=loss), BernoulliUda(temperature, unlabeled.threshold)


def quick_metrics(predictions: Predictions) -> tuple[dict[str, float], Floats]:
    """Return the numbers of an evaluation during training, and (C,) recall.

    ``balanced_accuracy`` is the mean over classes of (recall + specificity) / 2: the
    usual one of each yes-or-no question, so that 0.5 is chance.
    """
    true, named = predictions.targets > 0, predictions.predicted > 0
    hits, shown = (true & named).sum(0), true.sum(0)
    recall = ratio(hits, shown)
    specificity = ratio((~true & ~named).sum(0), (~true).sum(0))
    f1 = np.where(shown > 0, ratio(2 * hits, shown + named.sum(0)), np.nan)
    one = np.ones((1, len(true)))
    ap = [
        float(
            Ranking(predictions.log_probs[:, c], true[:, c]).average_precision(one)[0]
        )
        for c in range(true.shape[1])
    ]
    both = np.stack([recall, specificity])
    metrics = {
        "balanced_accuracy": _mean(_mean_rows(both)),
        "macro_f1": _mean(f1),
        "macro_ap": _mean(np.array(ap)),
        "exact_match": float((true == named).all(1).mean()),
    }
    return metrics, recall


def label_accuracy(predictions: Predictions) -> tuple[float, float]:
    """Return balanced accuracy as in `quick_metrics`, and its standard error."""
    true, named = predictions.targets > 0, predictions.predicted > 0
    variance = np.zeros(true.shape[1])
    rates = np.full((2, true.shape[1]), np.nan)
    for row, side in enumerate((true, ~true)):
        right, whole = (side & (named == true)).sum(0), side.sum(0)
        # One right of one is not certainty: shrink as Laplace did.
        likely = (right + 1) / (whole + 2)
        variance += np.where(whole > 0, likely * (1 - likely) / np.maximum(whole, 1), 0)
        rates[row] = ratio(right, whole)
    present = (~np.isnan(rates)).sum(0)
    error = float(np.sqrt((variance / np.maximum(present, 1) ** 2).sum()))
    return _mean(_mean_rows(rates)), error / true.shape[1]


def label_health(
    table: Tensor, before: Tensor | None, start: Tensor | None
) -> tuple[dict[str, float], Tensor]:
    """Describe a table of targets of several labels: `watch.table_health` by class.

    Args:
        table: (m, C) logits of the unlabelled images.
        before: the same, one renewal earlier, or None.
        start: (C,) shares of the classes among the answers "yes" at the beginning.

    Returns:
        tags and values, and the (C,) shares now.
    """
    named, probs = table > 0, table.double().sigmoid()
    counts = named.sum(0).double()
    shares = counts / counts.sum().clamp(min=1)
    entropy = -torch.xlogy(probs, probs) - torch.xlogy(1 - probs, 1 - probs)
    values = {"unlabeled/target_entropy[nats]": float(entropy.mean())}
    if before is not None:
        flips = (named != (before > 0)).double().mean()
        values["unlabeled/target_flips"] = float(flips)
    if start is not None:
        drift = 0.5 * (shares - start.to(shares)).abs().sum()
        values["unlabeled/mix_drift"] = float(drift)
    return values, shares


def _mean_rows(table: Floats) -> Floats:
    told = ~np.isnan(table)
    return ratio(np.where(told, table, 0.0).sum(0), told.sum(0))


def _mean(values: Floats) -> float:
    told = values[~np.isnan(values)]
    return float(told.mean()) if told.size else float("nan")
