"""Known answers: Clopper-Pearson bounds and the number of parts a claim needs."""

from __future__ import annotations

import pytest

from uda.inspect.numbers import (
    best_recall_low,
    class_support,
    folds,
    imbalance_ratio,
    proved_rate,
    thresholds_make_sense,
    units_for_rate,
)


@pytest.mark.parametrize(
    ("n", "low"), [(10, 0.692), (20, 0.832), (50, 0.929), (1, 0.025), (0, 0.0)]
)
def test_recall_that_all_right_proves(n: int, low: float) -> None:
    assert best_recall_low(n) == pytest.approx(low, abs=5e-4)


def test_parts_needed_for_an_escape_claim() -> None:
    assert units_for_rate(0.01) == 299
    assert units_for_rate(0.05) == 59
    assert units_for_rate(0.10) == 29
    assert (1 - 0.01) ** 299 <= 0.05 < (1 - 0.01) ** 298
    with pytest.raises(ValueError, match="must be in"):
        units_for_rate(0.0)


@pytest.mark.parametrize(
    ("n", "rate"), [(30, 0.095), (60, 0.049), (100, 0.0295), (300, 0.0099)]
)
def test_rate_that_no_escape_rules_out(n: int, rate: float) -> None:
    assert proved_rate(n) == pytest.approx(rate, abs=5e-4)
    assert proved_rate(0) == 1.0


def test_imbalance_folds_and_thresholds_of_the_notes() -> None:
    notes = {"Good": 94, "defect1": 32, "Rust": 11, "Grind_Marks": 7}
    assert imbalance_ratio(notes) == pytest.approx(94 / 7)
    assert folds(notes) == 5
    assert not thresholds_make_sense(notes)
    assert thresholds_make_sense({"Good": 94, "Rust": 11})
    assert folds({"Good": 94, "Rust": 3}) == 3
    assert folds({"Good": 94, "Rust": 1}) == 0
    assert folds({}) == 0
    assert imbalance_ratio({}) == 1.0
    assert imbalance_ratio({"a": 5, "b": 0}) == 1.0


def test_verdicts() -> None:
    assert class_support("a", images=0, groups=0).verdict == "too low"
    one = class_support("a", images=6, groups=1)
    assert one.verdict == "too low"
    assert "trained on and tested" in one.reason
    assert class_support("a", images=60, groups=9).verdict == "too low"
    assert class_support("a", images=40, groups=40).verdict == "low"
    enough = class_support("a", images=100, groups=100)
    assert enough.verdict == "enough"
    assert enough.test_units == 30
    assert enough.conformal == pytest.approx(1 / 101)
    with pytest.raises(ValueError, match="groups of"):
        class_support("a", images=2, groups=3)
