"""Agreement of groups, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from uda.inspect.agreement import compare_groups, leak_after


def test_pairs_by_hand() -> None:
    given = ["a", "a", "a", "b", "b", None]
    found = np.array([0, 0, 1, 1, 2, 2])
    result = compare_groups(given, found, [(0, 1), (2, 3), (4, 5)])
    assert result.true_pairs == 4
    assert result.proved_pairs == 2  # the pair with an unknown group does not count
    assert result.found_directly == pytest.approx(1 / 4)
    assert result.found_by_group == pytest.approx(1 / 4)
    assert result.false_directly == pytest.approx(1 / 2)
    assert result.false_by_group == pytest.approx(1 / 2)
    assert (result.given, result.found, result.largest_found) == (2, 3, 2)


def test_perfect_groups_leak_nothing() -> None:
    truth = np.repeat(np.arange(40), 5)
    assert leak_after(truth, truth) == 0.0
    assert leak_after(np.arange(200), truth) > 0.9


def test_nothing_given() -> None:
    result = compare_groups([None, None], np.array([0, 1]), [])
    assert result.true_pairs == 0
