from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from uda.evaluation.paired import MEASURES, Asked, compare, values
from uda.intervals import _draw_groups, _draw_sides, _stratum_of_groups

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


def test_the_interval_equals_a_direct_computation():
    asked, (first, second) = example()
    draws = 100
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
    # the same changes of sides, each pair of answers written out
    moving = np.unique(asked.groups[first != second])
    sides = _draw_sides(moving, asked.groups, draws, 3)[:, asked.groups] == 1
    one = np.ones(120, int)
    strays = np.abs(
        [
            literal(asked, np.where(row, second, first), one)
            - literal(asked, np.where(row, first, second), one)
            for row in sides
        ]
    )
    reach = np.sort(strays, axis=0)[math.ceil(0.95 * (draws - 1))]
    for place, name in enumerate(MEASURES):
        entry = found[name]
        bounds = (low[place], high[place])
        if abs(entry.value) <= reach[place]:
            bounds = (min(low[place], 0), max(high[place], 0))
        assert entry.interval == pytest.approx(bounds, abs=1e-9)
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


def one_sided(num: int) -> Asked:
    """20 images of a class and ``num`` of another, each a group of its own."""
    targets = np.repeat([0, 1], [20, num])
    size = targets.size
    return Asked(targets, np.arange(size), np.zeros(size, int), {0: 1}, 2)


@pytest.mark.parametrize("num", [1, 2, 5])
def test_few_images_are_no_certain_gain(num):
    """A bootstrap inside the class would give the value itself, with no spread."""
    asked = one_sided(num)
    right, wrong = asked.targets.copy(), np.zeros_like(asked.targets)
    entry = compare(asked, right, wrong)["rarest_recall"]
    assert (entry.value, entry.interval) == (1.0, (0.0, 1.0))


def test_six_images_on_one_side_are():
    """2 of 64 ways of changing sides are as extreme: p = 0.031."""
    asked = one_sided(6)
    right, wrong = asked.targets.copy(), np.zeros_like(asked.targets)
    entry = compare(asked, right, wrong)["rarest_recall"]
    assert entry.interval == pytest.approx((1 - 4 / 6, 1.0))


def test_errors_of_another_class_do_not_make_one_image_sure():
    asked = one_sided(1)
    first, second = asked.targets.copy(), np.zeros_like(asked.targets)
    first[:1], second[1:2] = 1, 1  # of the first class, each alone wrong on one
    interval = compare(asked, first, second)["balanced_accuracy"].interval
    assert interval.low <= 0 < interval.high
