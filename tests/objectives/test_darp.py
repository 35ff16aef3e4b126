"""DARP against scipy's general solver, and its invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from uda.errors import UsageError
from uda.objectives.darp import refine


def table(seed, num, num_classes):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, num_classes, generator=generator, dtype=torch.float64)
    return (2 * logits).softmax(1)


@pytest.mark.parametrize("keep", [None, 2.0])
def test_equals_a_general_solver(keep):
    probs, prior = table(0, 6, 3), torch.tensor([0.5, 0.3, 0.2]).double()
    p = probs.numpy()
    weight = 1 / -(p * np.log(p)).sum(1)
    allowed = np.ones_like(p, dtype=bool)
    if keep is not None:  # the likeliest of each class alone
        for place, share in enumerate(prior.tolist()):
            most = math.ceil(keep * share * 6)
            allowed[np.argsort(-p[:, place])[most:], place] = False
        assert not allowed.all()
        assert allowed.any(1).all()

    def objective(flat):
        x = flat.reshape(p.shape)
        return (weight[:, None] * x * np.log(np.maximum(x, 1e-300) / p))[allowed].sum()

    solved = optimize.minimize(
        objective,
        np.where(allowed, 1 / allowed.sum(1, keepdims=True), 0).ravel(),
        method="SLSQP",
        bounds=[(1e-9, 1) if free else (0, 0) for free in allowed.ravel()],
        constraints=[
            {"type": "eq", "fun": lambda f: f.reshape(p.shape).sum(1) - 1},
            {
                "type": "eq",
                "fun": lambda f: (f.reshape(p.shape).sum(0) - 6 * prior.numpy())[:2],
            },
        ],
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    found = refine(probs, prior, keep=keep).numpy()
    assert np.abs(found - solved.x.reshape(p.shape)).max() < 1e-4
    assert objective(found.ravel()) <= solved.fun + 1e-9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_and_columns_sum_as_asked(seed):
    probs = table(seed, 300, 5)
    prior = torch.tensor([0.6, 0.2, 0.1, 0.06, 0.04]).double()
    found = refine(probs, prior, keep=None)
    torch.testing.assert_close(found.sum(1), torch.ones(300).double())
    torch.testing.assert_close(found.sum(0), 300 * prior, atol=1e-4, rtol=0)


def test_thinning_keeps_rare_classes_to_their_likeliest_images():
    probs = table(4, 200, 3)
    prior = torch.tensor([0.8, 0.15, 0.05]).double()
    found = refine(probs, prior, keep=2.0)
    likely = probs[:, 2].argsort(descending=True)[:20]
    assert found[likely, 2].sum() > 0.9 * found[:, 2].sum()


def test_where_thinning_forbids_the_wanted_mix_the_whole_table_is_bent():
    """Types that nobody tells apart: the same rows are the likeliest of each."""
    generator = torch.Generator().manual_seed(0)
    good = 0.55 + 0.4 * torch.rand(1000, 1, generator=generator, dtype=torch.float64)
    probs = torch.cat([good, (1 - good).expand(1000, 5) / 5], 1)
    prior = torch.tensor([0.6, *[0.08] * 5], dtype=torch.float64)
    found = refine(probs, prior, keep=2.0)
    torch.testing.assert_close(found.sum(0), 1000 * prior, atol=1e-3, rtol=0)
    torch.testing.assert_close(found, refine(probs, prior, keep=None))


def test_a_table_that_already_fits_stays():
    probs = table(5, 50, 3)
    torch.testing.assert_close(
        refine(probs, probs.mean(0), keep=None), probs, atol=1e-6, rtol=0
    )


def test_sure_rows_do_not_break_it_and_nothing_is_refused():
    sure = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    found = refine(torch.cat([sure, table(6, 12, 3)]), torch.full((3,), 1 / 3))
    assert torch.isfinite(found).all()
    with pytest.raises(UsageError, match="no pseudo-labels"):
        refine(torch.zeros(0, 3), torch.full((3,), 1 / 3))
