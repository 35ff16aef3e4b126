"""From logits to probabilities: one class of several, or any number of them.

Softmax where an image has one label, sigmoid where it may have several. A model says
which by its attribute ``link``; nothing else needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Link = Literal["softmax", "sigmoid"]


def link_of(model: Any) -> Link:
    """Return a model's link; softmax for one that does not say."""
    link: Link = getattr(model, "link", "softmax")
    return link


def log_probs(logits: Tensor, link: Link) -> Tensor:
    """Return (B, C) log-probabilities of the classes.

    Args:
        logits: (B, C).
        link: softmax: they exclude each other; sigmoid: each by itself.
    """
    return F.logsigmoid(logits) if link == "sigmoid" else logits.log_softmax(1)


def mean_logits(views: Sequence[Tensor], link: Link) -> Tensor:
    """Return (B, C) logits whose probabilities are the mean over the views'.

    softmax: log of the mean; sigmoid: log of the mean minus log of the mean of what
    is missing to 1.

    Args:
        views: (B, C) logits each.
        link: see `log_probs`.
    """
    dtype = torch.promote_types(views[0].dtype, torch.float32)
    logits = torch.stack([view.to(dtype) for view in views])
    if link == "sigmoid":
        for_it = torch.logsumexp(F.logsigmoid(logits), 0)
        return for_it - torch.logsumexp(F.logsigmoid(-logits), 0)
    return torch.logsumexp(logits.log_softmax(2), 0) - math.log(len(views))


def hit_rate(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of right answers: images, or (image, class) pairs.

    Args:
        logits: (B, C).
        targets: (B,) class indices, or (B, C) of 0 and 1.
    """
    if targets.ndim == 1:
        return (logits.argmax(1) == targets).float().mean()
    return ((logits > 0) == (targets > 0)).float().mean()
