"""DARP: the whole table of pseudo-labels bent to a known mix of classes.

Source: Kim et al., "Distribution Aligning Refinery of Pseudo-label for Imbalanced
Semi-supervised Learning", NeurIPS 2020; bbuing9/DARP. The same problem is solved
here by Newton's method on its dual, which is convex, instead of by alternation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uda.errors import UsageError
from uda.objectives.priors import checked_prior

_ROUNDS = 100
_LARGEST_STEP = 2.0
# Of the images: columns that end further from their sums than this are not met.
_MISSED = 0.01


def refine(probs: Tensor, prior: Tensor, *, keep: float | None = 2.0) -> Tensor:
    """Return the table closest to the given one whose columns have the wanted sums.

    Minimises Σ_i w_i KL(x_i ‖ p_i) subject to rows of sum 1 and columns of sum
    N π_c, with w_i = 1 / entropy(p_i): the unsure move, the sure stay. The solution
    is x_ic ∝ p_ic exp(λ_c / w_i).

    Args:
        probs: (N, C) probabilities p of the unlabelled images.
        prior: (C,) shares π.
        keep: α: class c may only go to the α N π_c images most likely to be it; None
            leaves all in. All are left in as well where the columns cannot have the
            wanted sums otherwise: where the types of defects are not told apart, the
            same images are the likeliest of every type.

    Returns:
        (N, C) float64 probabilities.

    Raises:
        UsageError: there is no image.
    """
    if len(probs) == 0:
        raise UsageError("there are no pseudo-labels to refine")
    table = probs.to(torch.float64)
    counts = checked_prior(prior).to(table.device) * len(table)
    found = _bent(_thinned(table, counts, keep), table, counts)
    missed = float((found.sum(0) - counts).abs().max())
    if keep is not None and missed > _MISSED * len(table):
        return _bent(table, table, counts)
    return found


def _bent(allowed: Tensor, table: Tensor, counts: Tensor) -> Tensor:
    log_p = allowed.log()
    softness = _entropy(table).clamp(min=1e-6)
    force = _dual(log_p, counts, softness)
    return torch.softmax(log_p + force[None, :] * softness[:, None], 1)


def _thinned(table: Tensor, counts: Tensor, keep: float | None) -> Tensor:
    """Zero a class where it is least likely; rows left empty come back whole."""
    if keep is None:
        return table
    rank = (-table).argsort(0).argsort(0)
    allowed = rank < (keep * counts).ceil().clamp(min=1)[None, :]
    thinned = torch.where(allowed, table, 0.0)
    return torch.where(thinned.sum(1, keepdim=True) > 0, thinned, table)


def _entropy(table: Tensor) -> Tensor:
    return -torch.xlogy(table, table).sum(1)


def _dual(log_p: Tensor, counts: Tensor, softness: Tensor) -> Tensor:
    """Return λ (C,) that minimises Σ_i w_i log Σ_c p_ic exp(λ_c / w_i) - Σ λ_c M_c.

    The gradient is column sums minus M. λ is free up to a constant only where all
    rows are whole; the small ridge decides.
    """
    force = torch.zeros_like(counts)
    value = _dual_value(force, log_p, counts, softness)
    eye = torch.eye(len(counts), dtype=counts.dtype, device=counts.device)
    for _ in range(_ROUNDS):
        x = torch.softmax(log_p + force[None, :] * softness[:, None], 1)
        gradient = x.sum(0) - counts
        if float(gradient.abs().max()) < 1e-8 * len(log_p):
            break
        weighted = x * softness[:, None]
        hessian = torch.diag(weighted.sum(0)) - x.T @ weighted
        move = torch.linalg.solve(hessian + 1e-9 * len(log_p) * eye, gradient)
        move = move * min(1.0, _LARGEST_STEP / max(1e-12, float(move.abs().max())))
        fresh = _dual_value(force - move, log_p, counts, softness)
        while float(fresh) > float(value) and float(move.abs().max()) > 1e-12:
            move = move / 2
            fresh = _dual_value(force - move, log_p, counts, softness)
        force, value = force - move, fresh
    return force


def _dual_value(
    force: Tensor, log_p: Tensor, counts: Tensor, softness: Tensor
) -> Tensor:
    inner = torch.logsumexp(log_p + force[None, :] * softness[:, None], 1)
    return (inner / softness).sum() - force @ counts
