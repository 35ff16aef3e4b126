"""The teacher of a short run: clean batch-norm statistics, targets in a table.

Two facts decide a run of a few hundred steps on a few dozen labels. Running
batch-norm statistics mix in the strong views, which no user will ever send in;
and a target from one weak view of a young network is noisy. So the averaged
network is given the statistics of clean images, and its predictions on them,
averaged over flips, are kept in a table that is renewed every few steps. That is
also cheaper than a forward pass of weak views at every step.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from uda.data.streams import to_tensor
from uda.models.forward import Flips, at_once
from uda.models.heads import Outputs, log_mean_probs
from uda.models.links import link_of
from uda.rng import permutation

STATISTICS_IMAGES = 768
BATCH = 128
# Unlabelled images of which all targets are renewed at once. Of 3,600 that costs as
# much as the 50 steps in between, at the default batch.
WHOLE = 4096
_FAIR = 16  # images of any size that give fair batch-norm statistics

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def has_batch_norm(model: nn.Module) -> bool:
    """Tell whether a model keeps running statistics of its batches."""
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(layer, kind) for layer in model.modules())


def statistics_rows(rows: Rows, seed: int) -> Rows:
    """Choose the images for statistics: all, or a fixed sample of 768; shuffled.

    A pool is sorted by path, often by class. Batches of one class each would have
    too little variance, and every answer would be scaled wrongly.
    """
    return rows[permutation(seed, "batch-norm", 0, len(rows))[:STATISTICS_IMAGES]]


@torch.no_grad()
def with_clean_statistics(model: nn.Module, images: Images, rows: Rows) -> nn.Module:
    """Return a copy whose batch-norm statistics are those of clean images.

    Cumulative averages over the batches of ``images[rows]``, unaugmented; the
    weights are the model's own. A model without batch norm comes back as it is.

    Args:
        model: any classifier; it is not changed.
        images: (N, H, W, K) uint8 pool.
        rows: (n,) rows to take the statistics from, in batches of this order: it
            has to be a mixed one (`statistics_rows`).
    """
    if not has_batch_norm(model) or len(rows) < 2:
        return model
    clean = copy.deepcopy(model).eval()
    device = next(clean.parameters()).device
    for layer in clean.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average
            layer.train()
    # Equal batches: a lone last image would count as much as a whole batch.
    batch = at_once(images.shape, BATCH, least=_FAIR)
    for part in np.array_split(rows, max(1, -(-len(rows) // batch))):
        clean(to_tensor(np.ascontiguousarray(images[part])).to(device))
    for layer, original in zip(clean.modules(), model.modules(), strict=True):
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = original.momentum  # type: ignore[assignment]
    return clean.eval()


@torch.no_grad()
def prediction_table(
    model: nn.Module, images: Images, rows: Rows, *, num_classes: int, flips: Flips
) -> Outputs:
    """Predict clean images, averaged over flips.

    Returns:
        (N, C) log-probabilities on the model's device by pool row, of the auxiliary
        head too where there is one; rows that were not asked for hold the uniform
        distribution. Logits of several labels likewise: 0 where nobody asked.
    """
    device, link = next(model.parameters()).device, link_of(model)
    uniform = 0.0 if link == "sigmoid" else -float(np.log(num_classes))
    table = torch.full((len(images), num_classes), uniform, device=device)
    auxiliary = None
    batch = at_once(images.shape, BATCH)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        pixels = to_tensor(np.ascontiguousarray(images[part])).to(device)
        views = [model(pixels.flip(dims) if dims else pixels) for dims in flips]
        found, places = log_mean_probs(views, link), torch.from_numpy(part).to(device)
        table[places] = found.leaf
        if found.auxiliary is not None:
            auxiliary = (
                torch.full_like(table, uniform) if auxiliary is None else auxiliary
            )
            auxiliary[places] = found.auxiliary
    return Outputs(table, auxiliary=auxiliary)


def under_prior(table: Tensor, prior: Sequence[float]) -> Tensor:
    """Return answers for an even mix as they would be for another.

    Args:
        table: (N, C) log-probabilities q of somebody who takes all classes for equally
            common.
        prior: (C,) shares π of the classes.

    Returns:
        (N, C) log-probabilities, q_c π_c normalised; the table itself where π is even.
    """
    if max(prior) - min(prior) < 1e-9:
        return table
    return (table + torch.tensor(prior).log().to(table)).log_softmax(1)


def agreed(table: Tensor, opinion: Tensor, weight: float) -> Tensor:
    """Average two tables where they name the same class; elsewhere know nothing.

    Args:
        table: (N, C) log-probabilities p.
        opinion: (N, C) log-probabilities q of somebody else.
        weight: w of log((1 - w) p + w q), in (0, 1].

    Returns:
        (N, C) log-probabilities; uniform where the two disagree, which no
        confidence threshold lets through.
    """
    first = table + float(np.log1p(-weight)) if weight < 1 else table - torch.inf
    both = torch.logaddexp(first, opinion + float(np.log(weight)))
    same = table.argmax(1) == opinion.argmax(1)
    uniform = torch.full_like(both, -float(np.log(both.shape[1])))
    return torch.where(same[:, None], both, uniform)


def known_targets(targets: Rows, num_classes: int) -> Tensor:
    """Return (n, C) log-probabilities of labelled images: their label, nearly sure.

    Labelled images are among the unlabelled ones; there is no need to guess them.
    Of (n, C) targets, several labels per image, logits.
    """
    if targets.ndim == 2:
        return (torch.from_numpy(targets).float() * 0.98 + 0.01).logit()
    classes = torch.from_numpy(targets)
    sure = torch.nn.functional.one_hot(classes, num_classes).float()
    return (sure * 0.99 + 0.01 / num_classes).log()
