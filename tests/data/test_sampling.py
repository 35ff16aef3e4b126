"""Samplers against a literal slow simulation, known priors and frequencies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from uda.data.sampling import LabeledSampler, UnlabeledSampler, class_probabilities
from uda.errors import UsageError
from uda.rng import permutation

TILES = [952, 115, 103, 85, 57, 32]


def labels_of(counts: list[int]) -> np.ndarray:
    """Class labels in a fixed mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return labels[np.random.default_rng(5).permutation(labels.size)]


def literal_labeled(sampler: LabeledSampler, num: int) -> list[int]:
    """Build the endless sequence one draw at a time from per-class queues."""
    members = [
        [i for i, label in enumerate(sampler.labels) if label == c]
        for c in range(len(sampler.draws))
    ]
    queues: list[list[int]] = [[] for _ in members]
    laps = [0] * len(members)
    sequence: list[int] = []
    epoch = 0
    while len(sequence) < num:
        block = []
        for c, draws in enumerate(sampler.draws):
            for _ in range(draws):
                if not queues[c]:
                    name = f"{sampler.stream}/class/{c}"
                    order = permutation(sampler.seed, name, laps[c], len(members[c]))
                    queues[c] = [members[c][k] for k in order]
                    laps[c] += 1
                block.append(queues[c].pop(0))
        shuffle = permutation(
            sampler.seed, f"{sampler.stream}/order", epoch, len(block)
        )
        sequence += [block[k] for k in shuffle]
        epoch += 1
    return sequence[:num]


@pytest.mark.parametrize(
    ("counts", "batch", "power", "cap"),
    [
        ([94, 32, 11, 7], 32, 0.0, None),
        ([94, 32, 11, 7], 32, 0.0, 5.0),
        ([94, 32, 11, 7], 7, 0.5, 1.7),
        ([5, 5, 5], 64, 0.0, None),
        ([1, 3], 500, 0.0, None),
        ([4, 0, 9], 8, 0.0, None),
        (TILES, 64, 0.5, 10.0),
    ],
)
def test_steps_equal_a_literal_simulation(counts, batch, power, cap):
    sampler = LabeledSampler(
        labels_of(counts), batch=batch, seed=3, power=power, max_repeat=cap
    )
    steps = 3 * sampler.epoch_length // batch + 2
    expected = np.array(literal_labeled(sampler, steps * batch)).reshape(steps, batch)
    for step in range(steps):
        np.testing.assert_array_equal(sampler.indices(step), expected[step])


def test_a_step_depends_on_its_number_alone():
    labels = labels_of([20, 7, 3])
    one = LabeledSampler(labels, batch=9, seed=1)
    forward = [one.indices(step) for step in range(30)]
    other = pickle.loads(pickle.dumps(LabeledSampler(labels, batch=9, seed=1)))
    for step in (29, 3, 17, 0, 11, 11):
        np.testing.assert_array_equal(other.indices(step), forward[step])
    assert not np.array_equal(
        LabeledSampler(labels, batch=9, seed=2).indices(0), forward[0]
    )


def test_the_published_square_root_prior_of_the_tiles():
    """Magnetic tiles at q = 0.5; the published .15 is .1446 to more places."""
    exact = class_probabilities(TILES, power=0.5)
    np.testing.assert_allclose(exact, [0.42, 0.15, 0.14, 0.12, 0.10, 0.08], atol=0.006)
    roots = [30.854, 10.724, 10.149, 9.220, 7.550, 5.657]
    np.testing.assert_allclose(exact, np.array(roots) / 74.154, atol=1e-4)
    sampler = LabeledSampler(labels_of(TILES), batch=64, seed=0, power=0.5)
    np.testing.assert_allclose(sampler.class_probs, exact, atol=0.5 / 1344 + 1e-3)


def test_power_1_is_plain_sampling_without_replacement():
    labels = labels_of([30, 6, 2])
    sampler = LabeledSampler(labels, batch=19, seed=0, power=1.0)
    per_epoch = sampler.epoch_length // 19
    drawn = np.concatenate([sampler.indices(s) for s in range(per_epoch)])
    counts = np.bincount(drawn, minlength=38)
    assert (counts == sampler.epoch_length // 38).all()


def test_power_0_gives_every_class_alike():
    sampler = LabeledSampler(labels_of([94, 32, 11, 7]), batch=32, seed=0)
    np.testing.assert_allclose(sampler.class_probs, 0.25, atol=1e-12)


def test_images_of_a_class_differ_by_one_draw_at_most():
    labels = labels_of([94, 32, 11, 7])
    sampler = LabeledSampler(labels, batch=32, seed=4, power=0.3)
    epochs = 7
    steps = epochs * sampler.epoch_length // 32
    drawn = np.concatenate([sampler.indices(s) for s in range(steps)])
    drawn = drawn[: steps * 32]
    counts = np.bincount(drawn, minlength=labels.size)
    whole = epochs * sampler.epoch_length == steps * 32
    slack = 1 if whole else 2
    for c in range(4):
        assert np.ptp(counts[labels == c]) <= slack


def test_batches_mix_the_classes_like_random_draws():
    """Chi-square of class counts by position in the batch: no place is special."""
    labels = labels_of([60, 25, 10, 5])
    sampler = LabeledSampler(labels, batch=10, seed=8, power=0.5)
    steps = 4000
    classes = labels[np.stack([sampler.indices(s) for s in range(steps)])]
    for slot in (0, 4, 9):
        observed = np.bincount(classes[:, slot], minlength=4)
        expected = sampler.class_probs * steps
        statistic = ((observed - expected) ** 2 / expected).sum()
        assert statistic < chi2.ppf(0.9999, df=3)


def test_pairs_of_batch_neighbours_are_independent():
    labels = labels_of([50, 50])
    sampler = LabeledSampler(labels, batch=2, seed=8)
    classes = labels[np.stack([sampler.indices(s) for s in range(6000)])]
    table = np.bincount(2 * classes[:, 0] + classes[:, 1], minlength=4)
    statistic = ((table - 1500) ** 2 / 1500).sum()
    assert statistic < chi2.ppf(0.9999, df=3) + 6  # epochs of 100: slightly negative


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    power=st.floats(0, 1),
    cap=st.one_of(st.none(), st.floats(1, 8)),
    batch=st.integers(1, 70),
)
def test_caps_hold_and_the_prior_is_the_one_drawn(counts, power, cap, batch):
    sampler = LabeledSampler(
        labels_of(counts), batch=batch, seed=0, power=power, max_repeat=cap
    )
    assert sampler.class_probs.sum() == pytest.approx(1)
    assert sampler.epoch_length % sum(counts) == 0
    assert sampler.epoch_length >= max(batch, sum(counts), 16 * len(counts))
    if cap is not None:
        assert (sampler.repeats <= cap + 1e-9).all()
    exact = class_probabilities(counts, power=power, max_repeat=cap)
    assert np.abs(sampler.class_probs - exact).max() <= len(counts) / (
        sampler.epoch_length
    )
    epoch = sampler._epoch(2)
    drawn = np.bincount(sampler.labels[epoch], minlength=len(counts))
    np.testing.assert_array_equal(drawn, sampler.draws)


def test_a_whole_cap_is_never_passed_by_any_image():
    labels = labels_of([94, 32, 11, 7])
    sampler = LabeledSampler(labels, batch=32, seed=0, max_repeat=3)
    passes = sampler.epoch_length // 144
    counts = np.bincount(sampler._epoch(0), minlength=144)
    assert counts[labels == 3].max() == 3 * passes
    assert counts[labels == 2].max() == 3 * passes


def test_capped_mass_goes_to_the_others_by_weight():
    """Worked by hand: 90/9/1 balanced with a cap of 3 per pass over 100."""
    probs = class_probabilities([90, 9, 1], power=0.0, max_repeat=3)
    np.testing.assert_allclose(probs, [0.70, 0.27, 0.03])
    np.testing.assert_allclose(
        class_probabilities([90, 9, 1], power=0.0, max_repeat=1), [0.9, 0.09, 0.01]
    )


def test_a_class_without_images_is_never_drawn():
    sampler = LabeledSampler([0, 0, 2, 2], batch=4, seed=0, num_classes=5)
    np.testing.assert_allclose(sampler.class_probs, [0.5, 0, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"power": -0.1}, "power"),
        ({"power": float("nan")}, "power"),
        ({"max_repeat": 0.5}, "repeat"),
        ({"batch": 0}, "batch"),
    ],
)
def test_wrong_values_are_named(options, word):
    with pytest.raises(UsageError, match=word):
        LabeledSampler([0, 1], **{"batch": 2, "seed": 0, **options})


def test_no_labels_is_an_error():
    with pytest.raises(UsageError, match="labelled"):
        LabeledSampler([], batch=2, seed=0)
    with pytest.raises(UsageError, match="class for every image"):
        LabeledSampler([0, -1], batch=2, seed=0)
    with pytest.raises(UsageError, match="unlabelled"):
        UnlabeledSampler(0, batch=2, seed=0)


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (10, 10), (3, 20), (1, 5), (50, 7)])
def test_unlabelled_steps_equal_consecutive_permutations(n, batch):
    sampler = UnlabeledSampler(n, batch=batch, seed=2)
    steps = 30
    laps = steps * batch // n + 1
    stream = np.concatenate(
        [permutation(2, "unlabeled-index", k, n) for k in range(laps)]
    )
    for step in reversed(range(steps)):
        expected = stream[step * batch : (step + 1) * batch]
        np.testing.assert_array_equal(sampler.indices(step), expected)


def test_each_unlabelled_image_once_per_epoch():
    sampler = UnlabeledSampler(12, batch=4, seed=0)
    for epoch in range(5):
        drawn = np.concatenate([sampler.indices(3 * epoch + k) for k in range(3)])
        assert sorted(drawn) == list(range(12))


def test_a_batch_larger_than_the_set_is_filled_evenly():
    counts = np.bincount(UnlabeledSampler(5, batch=64, seed=0).indices(9), minlength=5)
    assert counts.sum() == 64
    assert np.ptp(counts) <= 2
