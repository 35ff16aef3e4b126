"""Adjusting by a prior and estimating one, against Gaussians whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize

from uda.errors import UsageError
from uda.objectives.priors import (
    adjust_logits,
    log_prior,
    prior_by_confusion,
    prior_by_em,
    shift_prior,
)

PRIOR = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
CENTERS = np.array([0.0, 1.5, 3.0])


def posteriors(x, prior):
    """Exact posteriors of unit Gaussians at 0, 1.5 and 3 under a prior."""
    density = np.exp(-0.5 * (x[:, None] - CENTERS) ** 2) * prior
    return torch.from_numpy(density / density.sum(1, keepdims=True))


def draw(prior, num, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, num, p=prior)
    return labels, CENTERS[labels] + rng.normal(size=num)


def test_an_even_prior_changes_no_loss_and_constants_change_nothing():
    logits, labels = torch.randn(6, 3).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    even = adjust_logits(logits, log_prior(torch.full((3,), 1 / 3)))
    loss = torch.nn.functional.cross_entropy
    torch.testing.assert_close(loss(even, labels), loss(logits, labels))
    torch.testing.assert_close(
        adjust_logits(logits + 5, log_prior(PRIOR)).softmax(1),
        adjust_logits(logits, log_prior(PRIOR)).softmax(1),
    )


def test_balanced_softmax_is_adjustment_by_the_counts():
    logits, label = torch.randn(1, 3).double(), 2
    counts = torch.tensor([70.0, 20.0, 10.0])
    terms = counts.double() * logits[0].exp()
    wanted = -torch.log(terms[label] / terms.sum())
    found = torch.nn.functional.cross_entropy(
        adjust_logits(logits, log_prior(counts)), torch.tensor([label])
    )
    torch.testing.assert_close(found, wanted)


def test_taking_the_prior_out_afterwards_is_the_balanced_bayes_rule():
    _, x = draw(PRIOR.numpy(), 4000, 0)
    trained = posteriors(x, PRIOR.numpy()).log()
    after = adjust_logits(trained, log_prior(PRIOR), tau=-1.0).argmax(1)
    balanced = posteriors(x, np.full(3, 1 / 3)).argmax(1)
    assert torch.equal(after, balanced)


def test_training_with_adjustment_agrees_with_taking_it_out_afterwards():
    labels, x = draw(PRIOR.numpy(), 3000, 1)
    features = torch.stack(
        [torch.ones(len(x)), torch.from_numpy(x).float()], 1
    ).double()
    target = torch.from_numpy(labels)

    def fit(prior):
        weight = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight], max_iter=200, line_search_fn="strong_wolfe"
        )

        def closure():
            solver.zero_grad()
            logits = features @ weight
            if prior is not None:
                logits = adjust_logits(logits, log_prior(prior))
            loss = torch.nn.functional.cross_entropy(logits, target)
            loss.backward()
            return loss

        solver.step(closure)
        return features @ weight.detach()

    plain = adjust_logits(fit(None), log_prior(PRIOR), tau=-1.0).argmax(1)
    inside = fit(PRIOR).argmax(1)
    assert (plain == inside).double().mean() > 0.99


def test_shifting_equals_bayes_with_the_new_prior():
    _, x = draw(PRIOR.numpy(), 500, 2)
    new = torch.tensor([0.1, 0.1, 0.8], dtype=torch.float64)
    found = shift_prior(posteriors(x, PRIOR.numpy()), PRIOR, new)
    torch.testing.assert_close(found, posteriors(x, new.numpy()))


def test_em_finds_the_prior_of_another_mix():
    truth = np.array([0.2, 0.3, 0.5])
    _, x = draw(truth, 20000, 3)
    found = prior_by_em(posteriors(x, PRIOR.numpy()), PRIOR)
    assert np.abs(found.numpy() - truth).max() < 0.02


def test_confusion_finds_the_prior_of_another_mix_where_means_do_not():
    truth = np.array([0.2, 0.3, 0.5])
    labels, x = draw(PRIOR.numpy(), 20000, 4)
    called = posteriors(x, PRIOR.numpy()).argmax(1).numpy()
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (labels, called), 1)
    _, fresh = draw(truth, 20000, 5)
    counts = np.bincount(
        posteriors(fresh, PRIOR.numpy()).argmax(1).numpy(), minlength=3
    )
    found = prior_by_confusion(torch.from_numpy(confusion), torch.from_numpy(counts))
    assert np.abs(found.numpy() - truth).max() < 0.03
    assert np.abs(counts / counts.sum() - truth).max() > 0.05
    rates = confusion / confusion.sum(1, keepdims=True)
    solved = optimize.minimize(
        lambda q: ((rates.T @ q - counts / counts.sum()) ** 2).sum(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        tol=1e-14,
    )
    assert np.abs(found.numpy() - solved.x).max() < 2e-3


def test_bad_priors_are_refused():
    with pytest.raises(UsageError, match="no share"):
        log_prior(torch.tensor([1.0, 0.0]))
    with pytest.raises(UsageError, match="positive"):
        log_prior(torch.tensor([1.0, -0.5]))
    with pytest.raises(UsageError, match="finite"):
        log_prior(torch.tensor([1.0, float("nan")]))
    with pytest.raises(UsageError, match="no predictions"):
        prior_by_confusion(torch.eye(2), torch.zeros(2))
