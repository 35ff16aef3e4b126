from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from uda.evaluation.paired import MEASURES, Asked, compare, values
from uda.intervals import _draw_groups, _stratum_of_groups

RAREST = {0: 2, 7: 1}


def example(seed: int = 0) -> tuple[Asked, list[np.ndarray]]:
    """Two repeats over 60 images of 20 groups and 3 classes, two noisy answers."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(20) % 3, 3)
    groups = np.repeat(np.arange(20), 3)
    asked = Asked(
        np.tile(targets, 2),
        np.tile(groups, 2),
        np.repeat([0, 7], 60),
        RAREST,
        3,
    )
    answers = [
        np.where(rng.random(120) < share, asked.targets, rng.integers(0, 3, 120))
        for share in (0.7, 0.4)
    ]
    return asked, answers


def literal(asked: Asked, answers: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The measures of a set in which image i stands times[i] times."""
    found = []
    for repeat, rarest in RAREST.items():
        rows = np.repeat(np.arange(times.size), times)
        rows = rows[asked.repeats[rows] == repeat]
        y, p = asked.targets[rows], answers[rows]
        macro = f1_score(y, p, labels=np.unique(y), average="macro")
        recall = recall_score(y, p, labels=[rarest], average="macro")
        found.append((macro, balanced_accuracy_score(y, p), recall))
    return np.mean(found, axis=0)


def test_values_are_those_of_scikit_learn():
    asked, (first, _) = example()
    times = np.random.default_rng(1).integers(0, 4, (5, 120))
    got = values(asked, first, times)
    expected = [literal(asked, first, row) for row in times]
    assert np.allclose(got, expected, atol=1e-12)


def test_escape_and_overkill_of_a_good_class():
    asked, (first, _) = example()
    asked = replace(asked, good=1)
    assert asked.measures[-2:] == ("escape", "overkill")
    got = values(asked, first, np.ones((1, 120)))[0]
    found = []
    for repeat in RAREST:
        mine = asked.repeats == repeat
        y, p = asked.targets[mine], first[mine]
        found.append((np.mean(p[y != 1] == 1), np.mean(p[y == 1] != 1)))
    assert np.allclose(got[-2:], np.mean(found, axis=0))


def test_the_bootstrap_equals_a_direct_computation():
    asked, (first, second) = example()
    draws = 200
    found = compare(asked, first, second, draws=draws, seed=3)
    # the same draws of groups, each set of images written out
    counts = _draw_groups(_stratum_of_groups(asked.groups, asked.targets), draws, 3)
    gaps = np.array(
        [
            literal(asked, first, row[asked.groups])
            - literal(asked, second, row[asked.groups])
            for row in counts
        ]
    )
    low, high = np.quantile(gaps, (0.025, 0.975), axis=0)
    for place, name in enumerate(MEASURES):
        entry = found[name]
        assert entry.interval == pytest.approx((low[place], high[place]), abs=1e-9)
        whole = [literal(asked, a, np.ones(120, int))[place] for a in (first, second)]
        assert (entry.first, entry.second) == pytest.approx(tuple(whole))
        assert entry.value == pytest.approx(whole[0] - whole[1])
        assert entry.interval.low < entry.value < entry.interval.high


def test_equal_answers_differ_by_nothing():
    asked, (first, _) = example()
    for entry in compare(asked, first, first, draws=50).values():
        assert entry.value == 0.0
        assert entry.interval == (0.0, 0.0)


def test_pairs_are_narrower_than_their_parts():
    """What is hard for both cancels out."""
    asked, (first, _) = example(5)
    second = first.copy()
    second[:4] = (second[:4] + 1) % 3
    chance = np.full(120, 0)
    near = compare(asked, first, second, draws=300)["balanced_accuracy"].interval
    far = compare(asked, first, chance, draws=300)["balanced_accuracy"].interval
    assert near.high - near.low < far.high - far.low


def test_a_class_without_images_is_not_a_zero():
    asked, (first, second) = example()
    keep = asked.targets != 2
    part = Asked(
        asked.targets[keep], asked.groups[keep], asked.repeats[keep], RAREST, 3
    )
    found = compare(part, first[keep], second[keep], draws=20)
    assert np.isnan(found["rarest_recall"].value)
    assert np.isfinite(found["balanced_accuracy"].value)
