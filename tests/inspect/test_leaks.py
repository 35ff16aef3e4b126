"""Leaks against brute force; splits keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from uda.inspect import leaks
from uda.inspect.leaks import (
    grouped_test,
    leaked_share,
    measure,
    nearest_accuracy,
    random_test,
    squared_distances,
    standardised,
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(2, 5), st.integers(4, 40))
def test_no_group_crosses_and_classes_stay_trainable(
    seed: int, classes: int, groups: int
) -> None:
    generator = np.random.default_rng(seed)
    of_group = np.concatenate(
        [np.arange(classes), generator.integers(classes, size=groups)]
    )
    group = generator.integers(len(of_group), size=200)
    group = np.unique(group, return_inverse=True)[1]
    labels = of_group[group]
    test = grouped_test(labels, group, seed=seed, repeat=0)
    assert leaked_share(group, test) == 0.0
    for label in np.unique(labels):
        assert (~test[labels == label]).any()


def test_random_split_is_stratified() -> None:
    labels = np.repeat([0, 1, 2], [100, 20, 1])
    test = random_test(labels, seed=0, repeat=0)
    assert [test[labels == c].sum() for c in range(3)] == [30, 6, 0]
    assert (random_test(labels, seed=0, repeat=1) != test).any()


def test_leaked_share_by_hand() -> None:
    groups = np.array([0, 0, 1, 1, 2, 3])
    test = np.array([True, False, True, True, True, False])
    assert leaked_share(groups, test) == pytest.approx(1 / 4)
    assert leaked_share(groups, np.zeros(6, bool)) == 0.0


def test_nearest_neighbour_equals_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.normal(size=(80, 12)).astype(np.float32)
    labels = generator.integers(3, size=80)
    test = np.arange(80) % 3 == 0
    model = KNeighborsClassifier(1).fit(pixels[~test], labels[~test])
    expected = balanced_accuracy_score(labels[test], model.predict(pixels[test]))
    got = nearest_accuracy(squared_distances(pixels), labels, test)
    assert got == pytest.approx(expected)
    assert np.isnan(nearest_accuracy(squared_distances(pixels), labels, test | True))


def test_twins_make_random_splits_shine() -> None:
    """Thirty parts in four near-equal pictures each, labels unrelated to pixels."""
    generator = np.random.default_rng(1)
    parts = generator.integers(0, 256, (30, 8, 8))
    tiny = np.repeat(parts, 4, axis=0) + generator.integers(-3, 4, (120, 8, 8))
    tiny = np.clip(tiny, 0, 255).astype(np.uint8)
    labels = np.repeat(generator.permutation(np.arange(30) % 2), 4)
    leak = measure(tiny, labels, np.repeat(np.arange(30), 4))
    assert leak is not None
    assert leak.leaked > 0.95
    assert leak.random is not None
    assert leak.grouped is not None
    assert leak.random[0] > 0.95
    assert leak.grouped[0] < 0.8


def test_too_little_to_measure() -> None:
    tiny = np.zeros((5, 4, 4), np.uint8)
    assert measure(tiny, np.arange(5), np.arange(5)) is None
    tiny = np.zeros((20, 4, 4), np.uint8)
    assert measure(tiny, np.zeros(20, np.int64), np.arange(20)) is None


def test_exposure_is_taken_out() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4) * 5
    np.testing.assert_allclose(
        standardised(image), standardised((image + 40).astype(np.uint8)), atol=1e-5
    )


def test_a_large_set_leaks_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances are kept of whole groups, and the share is that of all images."""
    monkeypatch.setattr(leaks, "_LARGEST_SET", 60)
    generator = np.random.default_rng(1)
    groups = generator.permutation(np.repeat(np.arange(200), 2))
    tiny = generator.integers(0, 256, (200, 8, 8)).astype(np.uint8)[groups]
    labels = (groups % 2).astype(np.int64)
    leak = measure(tiny, labels, groups)
    assert leak is not None
    assert leak.leaked == pytest.approx(0.7, abs=0.05)  # a twin with 70 % in training
    assert leak.images == 60
    assert leak.random is not None
    assert leak.grouped is not None
    assert leak.random[0] > leak.grouped[0] + 0.1  # the twins are among the 60
