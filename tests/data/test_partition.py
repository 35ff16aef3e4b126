from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.partition import choose_units, connect, count_by_unit, draw_per_class
from uda.rng import generator


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=14))
@settings(max_examples=80, deadline=None)
def test_connect_equals_transitive_closure(keys):
    n = len(keys)
    near = np.eye(n, dtype=bool)
    for i, j in itertools.product(range(n), repeat=2):
        near[i, j] |= bool(set(keys[i]) & set(keys[j]))
    for _ in range(n):
        near = (near.astype(int) @ near.astype(int)) > 0
    units = connect(keys)
    np.testing.assert_array_equal(units[:, None] == units[None, :], near)
    first = [units.tolist().index(unit) for unit in sorted(set(units.tolist()))]
    assert first == sorted(first)


def test_counts():
    units, labels = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, -1, 1])
    assert count_by_unit(units, labels, (3, 2)).tolist() == [[1, 1], [0, 2], [0, 0]]


COUNTS = st.lists(
    st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=12
)


@given(COUNTS, st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_choice_is_repeatable_and_leaves_what_must_stay(rows, seed):
    counts = np.array(rows, dtype=np.int64)
    holders = (counts > 0).sum(axis=0)
    keep = np.minimum(holders, 1)
    wanted = counts.sum(axis=0) * 0.3
    chosen = [
        choose_units(counts, wanted, keep=keep, rng=generator(seed, "t"))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*chosen)
    left = ((counts > 0) & ~chosen[0][:, None]).sum(axis=0)
    assert (left >= keep).all()
    assert not chosen[0][~counts.any(axis=1)].any()


def test_choice_is_nearly_as_balanced_as_the_best_of_all():
    rng = np.random.default_rng(0)
    for trial in range(5):
        counts = rng.integers(0, 5, (10, 3))
        total = counts.sum(axis=0)
        wanted, keep = total * 0.25, np.ones(3, dtype=np.int64)

        def error(chosen, counts=counts, total=total, wanted=wanted):
            return (((counts[chosen].sum(axis=0) - wanted) / total) ** 2).sum()

        best = min(
            error(np.array(bits, dtype=bool))
            for bits in itertools.product([0, 1], repeat=10)
        )
        chosen = choose_units(counts, wanted, keep=keep, rng=generator(trial, "t"))
        assert error(chosen) <= best + 0.01


def test_single_images_give_the_rounded_share():
    labels = np.repeat([0, 1, 2], [94, 32, 7])
    counts = np.eye(3, dtype=np.int64)[labels]
    chosen = choose_units(
        counts,
        counts.sum(axis=0) * 0.2,
        keep=np.full(3, 2),
        rng=generator(0, "t"),
    )
    assert counts[chosen].sum(axis=0).tolist() == [19, 6, 1]


def test_a_class_of_two_groups_gives_one():
    counts = np.array([[9, 0], [9, 0], [9, 0], [0, 1], [0, 1]])
    chosen = choose_units(
        counts,
        counts.sum(axis=0) * 0.1,
        keep=np.array([1, 1]),
        rng=generator(0, "t"),
    )
    assert (counts[chosen] > 0).sum(axis=0).tolist() == [1, 1]


def test_nothing_wanted_or_nothing_there():
    keep, rng = np.zeros(2, dtype=np.int64), generator(0, "t")
    full, empty = np.ones((3, 2), dtype=np.int64), np.zeros((3, 2), dtype=np.int64)
    assert not choose_units(full, np.zeros(2), keep=keep, rng=rng).any()
    assert not choose_units(empty, np.ones(2), keep=keep, rng=rng).any()


def test_large_groups_are_as_likely_as_small_ones():
    counts = np.array([[8]] * 10 + [[1]] * 80)
    taken = np.zeros(90)
    for seed in range(60):
        wanted, keep = np.array([32.0]), np.array([2])
        taken += choose_units(counts, wanted, keep=keep, rng=generator(seed, "t"))
    assert 0.1 < taken[:10].mean() / 60 < 0.3
    assert 0.1 < taken[10:].mean() / 60 < 0.35


@given(st.lists(st.integers(0, 6), min_size=1, max_size=25), st.integers(0, 25))
@settings(max_examples=80, deadline=None)
def test_every_unit_gives_one_before_any_gives_two(names, k):
    units = np.array(names)
    used = np.zeros(units.size, dtype=np.int64)
    drawn = draw_per_class(units, used, k, generator(1, "t"))
    assert len(set(drawn.tolist())) == drawn.size == min(k, units.size)
    given_by = np.bincount(units[drawn], minlength=7)
    there = np.bincount(units, minlength=7)
    left = there - given_by
    assert given_by.max() <= 1 + given_by[left > 0].min(initial=99)
    more = draw_per_class(units, used, k + 2, generator(1, "t"))
    assert set(drawn.tolist()) <= set(more.tolist())


def test_units_that_gave_before_come_last():
    units, used = np.array([0, 0, 1, 2]), np.array([1, 1, 0, 0])
    drawn = draw_per_class(units, used, 2, generator(0, "t"))
    assert sorted(units[drawn].tolist()) == [1, 2]
