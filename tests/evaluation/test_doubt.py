"""Doubts against the definition written out, and against labels known to be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.evaluation.doubt import (
    class_thresholds,
    confident_classes,
    doubt_counts,
    find_doubts,
)
from uda.evaluation.out_of_fold import HeldOut, OutOfFold
from uda.evaluation.predict import Predictions

CLASSES = ("Dent", "Good", "Rust")


def answered(probs, labels, *, repeats=1):
    """One fold for each repeat; (R, N, C) or (N, C) probabilities."""
    tables = np.broadcast_to(probs, (repeats, *np.shape(probs)[-2:]))
    ids = [f"{n:04d}.png" for n in range(len(labels))]
    parts = []
    for repeat, table in enumerate(tables):
        logs = np.log(np.maximum(table, 1e-9)).astype(np.float32)
        said = Predictions(ids, np.asarray(labels, np.int64), logs, CLASSES)
        parts.append(HeldOut(said, tuple(ids), repeat, 0, "network"))
    return OutOfFold.pooled(parts)


def literal(probs, labels):
    """{image: class it counts as} where that is not its label, sums and loops."""
    size = len(probs[0])
    limits = []
    for j in range(size):
        own = [p[j] for p, label in zip(probs, labels, strict=True) if label == j]
        limits.append(sum(own) / len(own) if own else float("inf"))
    found = {}
    for n, (p, label) in enumerate(zip(probs, labels, strict=True)):
        reached = [j for j in range(size) if p[j] >= limits[j]]
        if reached:
            best = max(reached, key=lambda j: p[j])
            if best != label:
                found[n] = best
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_doubted_is_what_the_definition_says(seed, num):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.6] * 3, num)
    labels = rng.integers(0, 3, num)
    limits = class_thresholds(probs, labels)
    counts_as = confident_classes(probs, limits)
    expected = literal(probs.tolist(), labels.tolist())
    found = {n: int(c) for n, c in enumerate(counts_as) if c >= 0 and c != labels[n]}
    assert found == expected


def test_by_hand():
    probs = [
        [0.9, 0.1, 0.0],
        [0.7, 0.3, 0.0],
        [0.1, 0.9, 0.0],
        [0.2, 0.8, 0.0],
        [0.85, 0.1, 0.05],  # labelled Good
        [0.3, 0.3, 0.4],
    ]
    labels = [0, 0, 1, 1, 1, 2]
    first, *rest = find_doubts(answered(probs, labels))
    # Dent's own images have 0.8 on average; 0.85 reaches it.
    assert (first.path, first.label, first.suggested) == ("0004.png", "Good", "Dent")
    assert first.doubted
    assert (first.own, first.other) == pytest.approx((0.1, 0.85), abs=1e-6)
    assert first.usual == pytest.approx(0.8, abs=1e-6)
    assert first.margin == pytest.approx((1 + 0.1 - 0.85) / 2, abs=1e-6)
    assert "Dent 0.85, as sure as" in first.reason
    assert not any(entry.doubted for entry in rest)
    margins = [entry.margin for entry in rest]
    assert margins == sorted(margins)
    assert "less sure than" in rest[0].reason
    counts = doubt_counts([first, *rest], CLASSES)
    assert counts.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_a_class_that_is_never_sure_is_not_doubted_as_a_whole():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    own = np.where(labels == 1, 0.45, 0.9) + rng.uniform(-0.04, 0.04, 80)
    probs = np.zeros((80, 3))
    probs[np.arange(80), labels] = own
    probs[np.arange(80), 1 - labels] = 1 - own
    found = find_doubts(answered(probs, labels))
    # The likeliest class is wrong for all of Good; its threshold is its own.
    assert (probs[40:].argmax(1) == 0).all()
    assert not any(entry.doubted and entry.label == "Good" for entry in found)


def test_repeats_are_averaged_and_their_votes_counted():
    sure, other = [[0.1, 0.9, 0.0], [0.9, 0.1, 0.0]], [[0.7, 0.3, 0.0], [0.9, 0.1, 0.0]]
    found = find_doubts(answered(np.array([sure, sure, other]), [0, 0], repeats=3))
    assert found[0].path == "0000.png"
    assert found[0].own == pytest.approx((0.1 + 0.1 + 0.7) / 3, abs=1e-6)
    assert (found[0].agreeing, found[0].answers) == (2, 3)
    assert "2 of 3 trainings" in found[0].reason


@pytest.mark.parametrize("seed", range(3))
def test_planted_errors_come_first(seed):
    """Cross-validated by scikit-learn on labels of which a tenth is wrong."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    rng = np.random.default_rng(seed)
    true = np.repeat([0, 1, 2], (150, 90, 60))
    images = rng.normal(0, 1, (300, 6)) + 2.2 * np.eye(6)[true]
    wrong = rng.choice(300, 30, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + rng.integers(1, 3, 30)) % 3
    probs = cross_val_predict(
        LogisticRegression(), images, labels, cv=5, method="predict_proba"
    )
    ranked = [int(e.path[:4]) for e in find_doubts(answered(probs, labels))]
    planted = set(wrong.tolist())
    precision = len(planted & set(ranked[:30])) / 30
    assert precision >= 0.6  # at random: 0.1
    assert len(planted & set(ranked[:60])) >= 24


def test_a_class_without_images_has_nothing_to_compare_with():
    """It trains in every fold and is held out in none; it can still be the likelier."""
    probs = np.array([[0.2, 0.1, 0.7], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    found = find_doubts(answered(probs, [0, 0, 1]))
    last = next(entry for entry in found if entry.path == "0000.png")
    assert not last.doubted
    assert last.reason == (
        "Rust 0.70, and no image labelled so was held out to compare with"
    )
