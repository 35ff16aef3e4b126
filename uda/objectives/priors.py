"""Class priors: adjusting logits by one, and estimating one that nobody stated.

A classifier trained on one mix of classes answers for that mix. Everything here
converts between mixes; which prior is in force is computed in one place only
(``training.prior``), so that it is corrected once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.precision import full_precision


def checked_prior(prior: Tensor) -> Tensor:
    """Return a (C,) prior as float64 that sums to one.

    Raises:
        UsageError: a share is negative or not finite, or all are 0.
    """
    shares = prior.to(torch.float64)
    if shares.ndim != 1 or not bool(torch.isfinite(shares).all()):
        raise UsageError(
            f"class prior {prior.tolist()}: needs one finite share a class"
        )
    if bool((shares < 0).any()) or float(shares.sum()) <= 0:
        raise UsageError(f"class prior {prior.tolist()}: shares must be positive")
    return shares / shares.sum()


def log_prior(prior: Tensor) -> Tensor:
    """Return log π (C,) in float64, of (C,) shares.

    Raises:
        UsageError: a class has no share.
    """
    shares = checked_prior(prior)
    if bool((shares == 0).any()):
        raise UsageError(f"class prior {prior.tolist()}: a class has no share at all")
    return shares.log()


def adjust_logits(logits: Tensor, log_shares: Tensor, *, tau: float = 1.0) -> Tensor:
    """Return logits + τ log π: logit adjustment, for the loss.

    Cross entropy of adjusted logits makes the raw ones fit for balanced error. With
    τ = 1 and the class counts as π it is the balanced softmax. Post hoc, the same
    function with -τ takes a prior out of a classifier that was trained with it.

    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021; Ren
    et al., "Balanced Meta-Softmax", NeurIPS 2020.

    Args:
        logits: (B, C).
        log_shares: (C,) from `log_prior`, which checks them once and not at each step.
        tau: τ; negative to take the prior out.

    Returns:
        (B, C), in fp32 or better.
    """
    logits = full_precision(logits)
    return logits + tau * log_shares.to(logits)


def shift_prior(probs: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return p'_c ∝ p_c · new_c / old_c: the same evidence under another prior.

    Args:
        probs: (N, C) probabilities under ``old``.
        old: (C,) prior of training, every share above 0.
        new: (C,) prior of deployment.

    Returns:
        (N, C) probabilities; rows without any mass left are uniform.
    """
    ratio = (checked_prior(new) / checked_prior(old)).to(probs)
    mass = probs * ratio
    total = mass.sum(1, keepdim=True)
    uniform = torch.full_like(mass, 1 / mass.shape[1])
    return torch.where(total > 0, mass / total, uniform)


def prior_by_confusion(
    confusion: Tensor, predicted: Tensor, *, smoothing: float = 1.0
) -> Tensor:
    """Estimate the prior of unlabelled images by inverting a confusion matrix.

    Solves Cᵀ q = p̂ for q on the simplex, by least squares, where C[y, c] is the
    chance that an image of class y is called c, from labelled images that the
    classifier did not train on. Black-box shift estimation: Lipton et al., ICML 2018.

    Args:
        confusion: (C, C) counts of held-out images, rows true, columns predicted.
        predicted: (C,) counts of predictions on the unlabelled images.
        smoothing: added to each count of ``confusion``, spread over its row: with
            seven images a rate of 0 or 1 is not known.

    Returns:
        (C,) float64 prior.

    Raises:
        UsageError: there are no predictions.
    """
    counts = confusion.to(torch.float64)
    num = counts.shape[0]
    if float(predicted.sum()) <= 0:
        raise UsageError("there are no predictions to estimate a prior from")
    rows = (counts + smoothing / num) / (counts.sum(1, keepdim=True) + smoothing)
    wanted = predicted.to(torch.float64) / predicted.sum()
    return _simplex_least_squares(rows.T, wanted)


def _simplex_least_squares(matrix: Tensor, wanted: Tensor) -> Tensor:
    """Minimise |A q - b|² over the simplex by projected gradient descent."""
    q = torch.full_like(wanted, 1 / len(wanted))
    step = 1 / float(torch.linalg.matrix_norm(matrix, 2)) ** 2
    for _ in range(5000):
        moved = _onto_simplex(q - step * (matrix.T @ (matrix @ q - wanted)))
        if float((moved - q).abs().max()) < 1e-12:
            return moved
        q = moved
    return q


def _onto_simplex(point: Tensor) -> Tensor:
    """Euclidean projection onto the simplex (Duchi et al., ICML 2008)."""
    ordered = point.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1).to(point)
    above = int((ordered > excess).sum()) - 1
    return (point - excess[above]).clamp(min=0)


def prior_by_em(
    probs: Tensor, prior: Tensor, *, rounds: int = 1000, tolerance: float = 1e-8
) -> Tensor:
    """Estimate the prior of unlabelled images by expectation maximisation.

    q ← mean over images of the posterior under q. Needs calibrated probabilities.
    Source: Saerens et al., Neural Computation 14 (2002).

    Args:
        probs: (N, C) of the unlabelled images, under ``prior``.
        prior: (C,) under which the classifier was trained, every share above 0.
        rounds: at most so many.
        tolerance: stops when no share moves by more.

    Returns:
        (C,) float64 prior.
    """
    given = probs.to(torch.float64)
    old = checked_prior(prior)
    q = old.clone()
    for _ in range(rounds):
        fresh = shift_prior(given, old, q).mean(0)
        if float((fresh - q).abs().max()) < tolerance:
            return fresh
        q = fresh
    return q
