"""Thresholds per class: the best F1, where validation can carry it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from uda.errors import CheckpointError
from uda.evaluation.thresholds import Thresholds, fit_thresholds


def case(seed, num=80):
    rng = np.random.default_rng(seed)
    true = (rng.random((num, 3)) < [0.5, 0.2, 0.04]).astype(int)
    probs = 1 / (1 + np.exp(-(1.5 * true - 1.6 + rng.normal(0, 1, true.shape))))
    return true, probs


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_better_f1(seed):
    true, probs = case(seed)
    found = fit_thresholds(true, probs, min_support=1)
    for c in range(2):
        at = f1_score(true[:, c], probs[:, c] >= found.values[c])
        for other in np.linspace(0.05, 0.95, 181):
            assert at >= f1_score(true[:, c], probs[:, c] >= other) - 1e-12


def test_too_few_images_keep_one_half():
    true, probs = case(0)
    found = fit_thresholds(true, probs)
    assert found.support == tuple(true.sum(0))
    assert found.values[2] == 0.5
    assert fit_thresholds(1 - true, probs).values[2] == 0.5  # too few without it
    assert fit_thresholds(true, probs, min_support=10**6).values == (0.5,) * 3


def test_a_useless_score_names_nobody_for_free():
    true = np.tile([[0], [1], [0], [0]], (20, 1))
    assert fit_thresholds(true, np.full((80, 1), 0.3)).values[0] >= 0.05


def test_thresholds_are_saved_by_name(tmp_path):
    path, classes = tmp_path / "thresholds.json", ("A", "B|", "C")
    found = Thresholds((0.3, 0.5, 0.7), (12, 3, 40))
    found.save(path, classes)
    assert Thresholds.load(path, ("C", "A")) == Thresholds((0.7, 0.3), (40, 12))
    with pytest.raises(CheckpointError, match="no threshold for 'D'"):
        Thresholds.load(path, ("D",))
