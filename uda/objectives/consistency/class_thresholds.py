"""Thresholds per class that keep the same share of every class, with a floor.

A network trained on few labels is unevenly sure: one threshold for all lets the
easy class in and shuts the hard one out, and the hard one starves. The idea of
equal shares is that of Guo & Li, "Class-Imbalanced Semi-Supervised Learning with
Adaptive Thresholding" (Adsh), ICML 2022; here the share is that of all classes
together, and no threshold falls below a floor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.objectives.precision import full_precision


def class_thresholds(
    logits: Tensor, *, threshold: float, floor: float, min_images: int = 8
) -> Tensor:
    """Return thresholds under which every class keeps the share kept on the whole.

    ρ is the share of images whose confidence exceeds ``threshold``. The threshold of
    class c is the (1 - ρ) quantile of the confidence of the images predicted as c,
    but at least ``floor`` and at most ``threshold``.

    Args:
        logits: (N, C) of all unlabelled images.
        threshold: the common one.
        floor: the lowest allowed.
        min_images: a class predicted for fewer images keeps the common threshold.

    Returns:
        (C,) in the dtype of the loss.
    """
    probs = full_precision(logits.detach()).softmax(1)
    confidence, chosen = probs.max(1)
    share = (confidence > threshold).double().mean()
    limits = probs.new_full((probs.shape[1],), threshold)
    for number in range(probs.shape[1]):
        mine = confidence[chosen == number]
        if len(mine) >= min_images:
            limits[number] = torch.quantile(mine, 1 - share.to(mine))
    return limits.clamp(min=floor, max=threshold)
