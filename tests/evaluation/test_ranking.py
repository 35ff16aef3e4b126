"""Scores against brute force, k-center against a literal loop, a planted kind found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.evaluation.ranking import (
    REASONS,
    Scores,
    choose,
    directions,
    novelty,
    rare_weights,
    rarity,
    uncertainty,
)


def probabilities(rng, num, classes):
    return rng.dirichlet(np.full(classes, 0.5), num)


def test_uncertainty_is_one_minus_the_margin():
    probs = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert uncertainty(probs) == pytest.approx([0.8, 0.2, 1.0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_rarity_is_the_sum_written_out(seed, classes):
    rng = np.random.default_rng(seed)
    probs = probabilities(rng, 7, classes)
    counts = rng.integers(0, 40, classes)
    counts[0] += 1
    weights = rare_weights(counts, probs)
    for c in range(classes):
        labels = counts[c] / counts.sum()
        pile = sum(probs[i, c] for i in range(7)) / 7
        assert weights[c] == pytest.approx(max(0, 1 - 2 * classes * min(labels, pile)))
    mass = [sum(p * w for p, w in zip(row, weights, strict=True)) for row in probs]
    assert rarity(probs, weights) == pytest.approx(mass)


def test_no_class_is_rare_where_all_are_even():
    assert rare_weights([5, 7], np.full((4, 2), 0.5)).tolist() == [0, 0]


def test_a_class_without_a_label_is_as_rare_as_can_be():
    assert rare_weights([8, 0], np.full((4, 2), 0.5)).tolist() == [0, 1]


def test_directions_keep_distances_when_all_of_them_are_kept():
    rng = np.random.default_rng(1)
    pile, labeled = rng.normal(size=(40, 5)), rng.normal(size=(6, 5))
    mean, spread = pile.mean(0), pile.std(0)
    a = np.clip((pile - mean) / spread, -3, 3)
    b = np.clip((labeled - mean) / spread, -3, 3)
    points, anchors = directions(pile, labeled, 5)
    wanted = np.linalg.norm(a[:, None] - b[None], axis=2)
    found = np.linalg.norm(points[:, None] - anchors[None], axis=2)
    assert found == pytest.approx(wanted)
    assert directions(pile, labeled, 2)[0].shape == (40, 2)


def test_a_feature_that_never_changes_says_nothing():
    pile = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]])
    points, _ = directions(pile, np.array([[1.0, 2.0]]))
    assert np.isfinite(points).all()


def slow_novelty(pile, labeled, kin):
    found = []
    for i, point in enumerate(pile):
        away = min(np.linalg.norm(point - other) for other in labeled)
        likes = sorted(
            np.linalg.norm(point - other)
            for j, other in enumerate(pile)
            if j != i and j not in kin.get(i, ())
        )
        found.append(away / likes[:3][-1] if likes else 1.0)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_novelty_is_the_loop_written_out(seed, num):
    rng = np.random.default_rng(seed)
    pile, labeled = rng.normal(size=(num, 3)), rng.normal(size=(4, 3))
    kin = {0: [num - 1], num - 1: [0]} if num > 1 else {}
    assert novelty(pile, labeled, kin) == pytest.approx(
        slow_novelty(pile, labeled, kin)
    )


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    pile, labeled = rng.normal(size=(50, 3)), rng.normal(size=(4, 3))
    whole = novelty(pile, labeled, {1: [2], 2: [1]})
    monkeypatch.setattr("uda.evaluation.ranking._ROWS", 7)
    assert novelty(pile, labeled, {1: [2], 2: [1]}) == pytest.approx(whole)


def slow_choice(scores, points, budget, kin, out):
    """The same in plain loops; no ties."""
    free = {i for i in range(len(points)) if not out[i]}
    lanes = [r for r in REASONS if scores.worth(r).any()]
    wanted = {
        r: budget // len(lanes) + (n < budget % len(lanes)) for n, r in enumerate(lanes)
    }
    chosen = []
    moved = True
    while moved and len(chosen) < budget:
        moved = False
        for reason in lanes:
            mine = [i for i in free if scores.worth(reason)[i]]
            mine.sort(key=lambda i, r=reason: -scores.of(r)[i])
            if not mine or len(chosen) == budget:
                continue
            mine = mine[: 2 * max(1, wanted[reason])]

            def far(i):
                return min(
                    (np.linalg.norm(points[i] - points[j]) for j, _ in chosen),
                    default=np.inf,
                )

            best = max(mine, key=far)
            chosen.append((best, reason))
            wanted[reason] -= 1
            free -= {best, *kin.get(best, ())}
            moved = True
    by_reason = {
        reason: sorted(
            [place for place, why in chosen if why == reason],
            key=lambda i, r=reason: -scores.of(r)[i],
        )
        for reason in lanes
    }
    return [
        (by_reason[reason][rank], reason)
        for rank in range(len(chosen))
        for reason in lanes
        if rank < len(by_reason[reason])
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_choice_is_the_loop_written_out_and_takes_no_kin(seed, budget):
    rng = np.random.default_rng(seed)
    num = 25
    scores = Scores(rng.random(num), rng.random(num), 2 * rng.random(num))
    points, out = rng.normal(size=(num, 3)), rng.random(num) < 0.2
    pairs = rng.integers(0, num, (10, 2))
    kin: dict[int, list[int]] = {}
    for a, b in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
        kin.setdefault(a, []).append(b)
        kin.setdefault(b, []).append(a)
    found = choose(scores, points, budget, kin=kin, out=out)
    assert found == slow_choice(scores, points, budget, kin, out)
    places = [place for place, _ in found]
    assert len(set(places)) == len(places) <= budget
    assert not out[places].any()
    assert all(b not in places for a in places for b in kin.get(a, ()))
    novel = [place for place, reason in found if reason == "novel"]
    assert (scores.novelty[novel] > 1).all()


def test_equal_scores_are_settled_by_the_seed_alone():
    flat = Scores(np.full(9, 0.5), np.zeros(9), np.zeros(9))
    points, out = np.zeros((9, 2)), np.zeros(9, dtype=bool)
    first, again, other = (
        choose(flat, points, 3, kin={}, out=out, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert {reason for _, reason in first} == {"unsure"}


def test_nothing_free_gives_nothing():
    scores = Scores(np.ones(2), np.ones(2), np.ones(2))
    out = np.ones(2, dtype=bool)
    assert choose(scores, np.zeros((2, 1)), 5, kin={}, out=out) == []
    nothing = Scores(np.zeros(2), np.zeros(2), np.zeros(2))
    assert choose(nothing, np.zeros((2, 1)), 5, kin={}, out=~out) == []


def test_a_planted_kind_is_found_and_lone_outliers_are_not():
    """10 of 210 images are of a kind without labels; 10 others are each alone."""
    rng = np.random.default_rng(5)
    centres = 4 * rng.normal(size=(3, 6))
    usual = np.concatenate([c + rng.normal(size=(63, 6)) for c in centres])
    planted = 12 + 0.7 * rng.normal(size=(10, 6))
    alone = 15 * rng.normal(size=(11, 6))
    pile = np.concatenate([usual, planted, alone])
    labeled = np.concatenate([c + rng.normal(size=(8, 6)) for c in centres])
    new = novelty(pile, labeled, {})
    scores = Scores(np.zeros(len(pile)), np.zeros(len(pile)), new)
    out = np.zeros(len(pile), dtype=bool)
    found = [place for place, _ in choose(scores, pile, 5, kin={}, out=out)]
    assert all(189 <= place < 199 for place in found)
