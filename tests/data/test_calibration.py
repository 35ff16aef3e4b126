"""The null distribution is fitted from unrelated pairs and gives the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from uda.data.calibration import Calibration, fit_null
from uda.data.correlation import Scores


def scores(values: np.ndarray, blocks: np.ndarray) -> Scores:
    return Scores(values, blocks, np.ones(len(values)), np.zeros((len(values), 2)))


def test_mean_and_variances_are_recovered() -> None:
    generator = np.random.default_rng(0)
    blocks = generator.integers(4, 65, 20000)
    spread = np.sqrt(0.0004 + 0.01 / blocks)
    values = 0.2 + spread * generator.standard_normal(20000)
    fitted = fit_null(scores(values, blocks), images=1000)
    assert fitted.mean == pytest.approx(0.2, abs=0.005)
    # Clipping at the 98th percentile, against twins, costs a little variance.
    assert fitted.between == pytest.approx(0.0004, rel=0.5)
    assert fitted.within == pytest.approx(0.01, rel=0.3)
    assert fitted.pairs == 20000
    assert fitted.threshold(4)[()] > fitted.threshold(64)[()]


def test_a_few_twins_among_the_null_pairs_do_little() -> None:
    generator = np.random.default_rng(1)
    blocks = np.full(3000, 64)
    values = 0.2 + 0.04 * generator.standard_normal(3000)
    clean = fit_null(scores(values, blocks), images=500).threshold(64)
    values[:15] = 0.9
    assert fit_null(scores(values, blocks), images=500).threshold(64) < clean + 0.15


def test_larger_sets_ask_for_more() -> None:
    values = 0.2 + 0.06 * np.random.default_rng(2).standard_normal(2000)
    null = scores(values, np.full(2000, 16))
    small, large = (fit_null(null, images=n).threshold(16) for n in (50, 10_000))
    assert small < large


def test_too_few_pairs_leave_the_defaults_and_the_floor() -> None:
    null = scores(np.full(10, 0.1), np.full(10, 20))
    assert fit_null(null, images=10) == Calibration()
    assert Calibration(between=0, within=0).threshold(50)[()] == pytest.approx(0.35)
    assert Calibration().as_dict()["threshold_64_blocks"] >= 0.35
