"""Temperature: equal to scipy's minimiser, and modest where data say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from uda.evaluation.calibration import fit_temperature, log_losses, scaled


def drawn(seed, num=400, classes=4, true_temperature=2.5):
    """Logits whose labels are drawn at another temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (num, classes))
    probs = np.exp(scaled(logits, true_temperature))
    return logits, np.array([rng.choice(classes, p=row) for row in probs])


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scipys_minimiser(seed):
    logits, targets = drawn(seed)
    wanted = minimize_scalar(
        lambda t: log_losses(logits, targets, t).mean(),
        bounds=(0.1, 10),
        method="bounded",
        options={"xatol": 1e-9},
    ).x
    assert fit_temperature(logits, targets) == pytest.approx(wanted, rel=1e-5)
    assert wanted == pytest.approx(2.5, rel=0.3)


def test_the_loss_is_that_of_the_definition():
    logits = np.array([[1.0, 0.0], [0.0, 2.0]])
    wanted = [np.log(1 + np.exp(-0.5)), np.log(1 + np.exp(1.0))]
    assert log_losses(logits, np.array([0, 0]), 2.0) == pytest.approx(wanted)


def test_scaled_rows_are_probabilities_whatever_their_size():
    logs = scaled(np.array([[1e4, 0.0, -1e4], [-np.inf, 0.0, 0.0]]), 0.5)
    assert np.exp(logs).sum(axis=1) == pytest.approx([1, 1])


def test_without_a_mistake_nothing_is_changed():
    logits = np.eye(3) * 4
    assert fit_temperature(logits, np.arange(3)) == 1.0
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0


def test_it_stays_in_its_range():
    logits = np.eye(2)[[0, 0, 0, 0]] * 8
    # Always wrong: the flatter the better.
    assert fit_temperature(logits, np.ones(4, np.int64)) == pytest.approx(10, rel=1e-3)


def test_an_impossible_class_is_no_nan():
    logs = np.array([[-np.inf, -0.5, -0.9], [-np.inf, -1.2, -0.4]])
    assert np.isfinite(fit_temperature(logs, np.array([2, 2])))
