"""Bias per class: the sweep equals a search that tries everything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from uda.evaluation.bias import (
    bagged_bias,
    coordinate_search,
    cost_along,
    line_search,
    macro_f1_along,
    prior_starts,
    recall_bias,
)


def case(seed, num=14, classes=3):
    """A small random problem, with ties in the utilities."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, num)
    logits = np.round(rng.normal(0, 1, (num, classes)), 1)
    logits[np.arange(num), targets] += 0.5
    return logits, targets


def macro_f1(targets, answers):
    return f1_score(
        targets, answers, average="macro", labels=np.unique(targets), zero_division=0
    )


def tried(utilities, targets, bias, k, value):
    """The best of a literal argmax at a bias between all neighbouring flips."""
    others = np.delete(utilities + bias, k, axis=1).max(axis=1)
    flips = np.unique(np.round(others - utilities[:, k], 9))
    cuts = [flips[0] - 1, *(flips[1:] + flips[:-1]) / 2, flips[-1] + 1]
    found = []
    for cut in cuts:
        changed = bias.copy()
        changed[k] = cut
        found.append(value(targets, (utilities + changed).argmax(axis=1)))
    return max(found)


@pytest.mark.parametrize("seed", range(30))
def test_line_search_equals_brute_force(seed):
    utilities, targets = case(seed)
    bias = np.random.default_rng(seed).normal(0, 0.5, 3)
    for k in range(3):
        found, score = line_search(utilities, targets, bias, k, macro_f1_along)
        assert score == pytest.approx(tried(utilities, targets, bias, k, macro_f1))
        changed = bias.copy()
        changed[k] = found
        answers = (utilities + changed).argmax(axis=1)
        assert score == pytest.approx(macro_f1(targets, answers))


@pytest.mark.parametrize("seed", range(15))
def test_line_search_equals_brute_force_for_costs(seed):
    utilities, targets = case(seed)
    costs = np.random.default_rng(seed).uniform(0, 5, (3, 3))

    def value(true, answers):
        return -costs[true, answers].sum()

    for k in range(3):
        score = line_search(utilities, targets, np.zeros(3), k, cost_along(costs))[1]
        assert score == pytest.approx(tried(utilities, targets, np.zeros(3), k, value))


@pytest.mark.parametrize("seed", range(10))
def test_with_two_classes_no_bias_at_all_is_better(seed):
    utilities, targets = case(seed, classes=2)
    bias = coordinate_search(
        utilities,
        targets,
        macro_f1_along,
        tunable=np.ones(2, np.bool_),
        starts=prior_starts(targets, 2),
    )
    answers = (utilities + bias).argmax(axis=1)
    best = tried(utilities, targets, np.zeros(2), 0, macro_f1)
    assert macro_f1(targets, answers) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_the_search_is_nearly_as_good_as_a_grid(seed):
    utilities, targets = case(seed, num=20)
    bias = coordinate_search(
        utilities,
        targets,
        macro_f1_along,
        tunable=np.ones(3, np.bool_),
        starts=prior_starts(targets, 3),
    )
    found = macro_f1(targets, (utilities + bias).argmax(axis=1))
    grid = np.linspace(-3, 3, 13)
    best = max(
        macro_f1(targets, (utilities + np.array([0, b, c])).argmax(axis=1))
        for b, c in itertools.product(grid, grid)
    )
    assert found >= macro_f1(targets, utilities.argmax(axis=1)) - 1e-12
    assert found >= best - 0.05  # line searches may end on a ridge


def test_an_absent_class_has_no_f1_and_keeps_its_bias():
    """Known answer: the mean goes over the classes with images."""
    targets, answers = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    scores = macro_f1_along(targets, answers, np.array([1]), 0)
    assert scores == pytest.approx([(2 / 3 + 1) / 2, 1.0])
    utilities, _ = case(3, num=40)
    bias = bagged_bias(utilities, np.arange(40) % 2, range(40), macro_f1_along, bags=3)
    assert bias[2] == 0
    assert bias[:2].any()


def test_fixed_classes_and_endless_utilities_stay():
    utilities, targets = case(5, num=40)
    utilities[:20, 0], utilities[20:, 0] = np.inf, -np.inf
    bias = bagged_bias(utilities, targets, range(40), macro_f1_along, fixed=[0], bags=4)
    assert bias[0] == 0
    assert np.isfinite(bias).all()
    assert bias[1:].sum() == pytest.approx(0)
    answers = (utilities + bias).argmax(axis=1)
    assert (answers[:20] == 0).all()
    assert (answers[20:] != 0).all()


def test_where_no_image_can_flip_nothing_moves():
    utilities = np.array([[np.inf, 0.0], [-np.inf, 0.0]])
    bias = np.array([0.0, 0.3])
    found = line_search(utilities, np.array([0, 1]), bias, 1, macro_f1_along)
    assert found == (0.3, 1.0)


def test_bags_draw_groups_and_depend_on_the_seed_alone():
    utilities, targets = case(7, num=60)
    groups = np.arange(60) // 3

    def fit(seed):
        return bagged_bias(
            utilities, targets, groups, macro_f1_along, bags=3, seed=seed
        )

    assert (fit(1) == fit(1)).all()
    assert (fit(1) != fit(2)).any()
    assert fit(1).sum() == pytest.approx(0)


def test_a_rare_class_that_is_drowned_is_found_again():
    """Posteriors of a 9:1 mix: the plain answer misses the rare class too often."""
    rng = np.random.default_rng(0)
    targets = (rng.random(1500) < 0.1).astype(np.int64)
    x = rng.normal(1.5 * targets, 1)
    odds = 1.5 * x - 1.5**2 / 2 + np.log(0.1 / 0.9)
    utilities = np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], axis=1)
    fit, check = slice(0, 750), slice(750, None)
    bias = bagged_bias(
        utilities[fit], targets[fit], range(750), macro_f1_along, bags=15
    )
    plain = macro_f1(targets[check], utilities[check].argmax(axis=1))
    tuned = macro_f1(targets[check], (utilities[check] + bias).argmax(axis=1))
    assert bias[1] > bias[0]
    assert tuned > plain + 0.02


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_recall_is_reached_by_as_little_as_does_it(seed, share):
    """A literal search over all cuts: none lower calls enough images so."""
    utilities, targets = case(seed, num=40)
    start = np.array([0.3, 0.0, -0.2])
    bias = recall_bias(utilities, targets, start, {1: share})
    mine = targets == 1
    need = min(math.ceil(share * (mine.sum() + 1)), mine.sum())

    def called(value):
        tried_bias = np.array([start[0], value, start[2]])
        return int(((utilities + tried_bias).argmax(axis=1) == 1)[mine].sum())

    assert called(bias[1]) >= need
    assert (bias[0], bias[2]) == (start[0], start[2])
    others = np.delete(utilities + start, 1, axis=1).max(axis=1)
    flips = np.unique(others - utilities[:, 1])
    lower = flips[flips < bias[1] - 1e-9]
    if bias[1] > start[1]:  # just below the last image that it had to win
        assert called(lower[-1] - 1e-9) < need


def test_targets_of_two_classes_are_held_together():
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], [200, 40, 20])
    utilities = rng.normal(0, 1, (260, 3)) + np.log([0.77, 0.15, 0.08])
    utilities[np.arange(260), targets] += 3.0
    bias = recall_bias(utilities, targets, np.zeros(3), {1: 0.9, 2: 0.9})
    answers = (utilities + bias).argmax(axis=1)
    for k in (1, 2):
        assert (answers[targets == k] == k).mean() >= 0.9
    assert bias[0] == 0
    assert (answers[targets == 0] == 0).mean() > 0.7


def test_on_new_images_a_recall_holds_on_average():
    """The rank of conformal prediction: 19 images make a share of 0.9."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        score = rng.normal(0, 1, 19 + 50)
        utilities = np.stack([np.zeros(69), score], axis=1)
        bias = recall_bias(
            utilities[:19], np.ones(19, np.int64), np.full(2, -9.0), {1: 0.9}
        )
        found.append(((utilities[19:] + bias).argmax(axis=1) == 1).mean())
    assert 0.9 <= np.mean(found) < 0.94
