"""Gates: which unlabelled examples count, decided on weak logits without gradient."""

from __future__ import annotations

from torch import Tensor

from uda.objectives.precision import full_precision

# Above what rounding makes of equal numbers on their way through a class tree.
_ALIKE = 1e-5


def confidence_mask(logits: Tensor, threshold: float | None) -> Tensor:
    """Keep what the network is sure of: 1 if max softmax(logits) > threshold else 0.

    The probability is the unsharpened one and the comparison is strict.
    Source: google-research/uda, image/main.py (0.8); FixMatch uses 0.95.

    Args:
        logits: (U, C) of the weak view.
        threshold: probability, or None to keep all.

    Returns:
        (U,) of 0 and 1, in the dtype of the loss.
    """
    probs = full_precision(logits.detach()).softmax(1)
    confidence = probs.amax(1)
    if threshold is None:
        return confidence.new_ones(confidence.shape)
    return (confidence > threshold).to(probs.dtype)


def has_opinion(logits: Tensor) -> Tensor:
    """Return (U,) whether the classes differ at all, without gradient.

    Two teachers that disagree leave a uniform target (``training.teacher.agreed``). No
    fixed threshold above 1/C lets it through; but a moving threshold may, and a prior
    would make a sure answer of it.

    Args:
        logits: (U, C) of the weak view, before anything is bent or adjusted.
    """
    logits = full_precision(logits.detach())
    return logits.amax(1) - logits.amin(1) > _ALIKE


def confidence_of(logits: Tensor) -> Tensor:
    """Return (U,) max softmax(logits), without gradient."""
    return full_precision(logits.detach()).softmax(1).amax(1)
