from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.dealing import deal_units
from uda.rng import generator


def table_of(counts, folds, num_folds):
    table = np.zeros((num_folds, counts.shape[1]), dtype=int)
    for row, fold in zip(counts, folds, strict=True):
        if fold >= 0:
            table[fold] += row
    return table


def covered(table):
    return (table > 0).sum(0)


def spread(table):
    return float(((table / table.sum(0)) ** 2).sum())


def all_deals(counts, num_folds):
    for folds in itertools.product(range(num_folds), repeat=len(counts)):
        yield table_of(counts, folds, num_folds)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=2, max_size=40),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_classes_of_their_own_units_reach_as_many_folds_as_they_can(units, k, seed):
    counts = np.zeros((len(units), 3), dtype=np.int64)
    for place, (name, size) in enumerate(units):
        counts[place, name] = size
    folds = deal_units(counts, k, generator(seed, "test"))
    assert (folds >= 0).all()
    wanted = np.minimum((counts > 0).sum(0), k)
    assert (covered(table_of(counts, folds, k)) == wanted).all()


@pytest.mark.parametrize("seed", range(12))
def test_no_deal_of_mixed_units_covers_more_or_is_more_even(seed):
    """Every deal of six mixed units, one by one."""
    rng = np.random.default_rng(seed)
    k = 2 + seed % 2
    counts = rng.integers(0, 4, (6, 3)) * (rng.random((6, 3)) < 0.6)
    counts[:3] += np.eye(3, dtype=np.int64)
    found = table_of(counts, deal_units(counts, k, generator(seed, "test")), k)
    tables = list(all_deals(counts, k))
    most = max(covered(table).sum() for table in tables)
    assert covered(found).sum() == most
    best = min(spread(table) for table in tables if covered(table).sum() == most)
    assert spread(found) <= best + 0.05


def test_a_class_is_not_left_in_one_fold_for_the_sake_of_others():
    # Both units of the second class would balance the first in one fold.
    counts = np.array([[4, 0], [1, 1], [1, 1], [2, 0]])
    folds = deal_units(counts, 2, generator(0, "test"))
    assert folds[1] != folds[2]


def test_single_images_differ_by_one_at_most():
    counts = np.repeat(np.eye(4, dtype=np.int64), [50, 23, 7, 2], axis=0)
    table = table_of(counts, deal_units(counts, 5, generator(0, "test")), 5)
    assert (table.max(0) - table.min(0) <= 1).all()
    totals = table.sum(1)
    assert totals.max() - totals.min() <= 1


def test_units_without_items_are_in_no_fold():
    counts = np.array([[1, 0], [0, 0], [1, 0], [0, 2]])
    folds = deal_units(counts, 2, generator(0, "test"))
    assert folds[1] == -1
    assert (folds[[0, 2, 3]] >= 0).all()
    nothing = np.zeros((2, 1), np.int64)
    assert deal_units(nothing, 2, generator(0, "test")).tolist() == [-1, -1]
