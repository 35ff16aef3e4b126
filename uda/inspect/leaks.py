"""How far a random split would lie: twins across it, and what memory gains by them.

Compares a plain stratified split with one that keeps groups together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda import rng

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

TEST_SHARE = 0.3
REPEATS = 5
_LARGEST_SET = 6000


@dataclass(frozen=True)
class Leak:
    """What a random split hides.

    Attributes:
        leaked: share of test images with an image of their group in training.
        random: balanced accuracy of 1-nearest-neighbour on 40 x 40 pixels, brightness
            and contrast of each image taken out, under random splits: mean and
            standard deviation over the repeats.
        grouped: the same under grouped splits; both None where they cannot be drawn.
        repeats: number of splits of each kind.
        images: labelled images used for the balanced accuracies.
    """

    leaked: float
    random: tuple[float, float] | None
    grouped: tuple[float, float] | None
    repeats: int
    images: int


def random_test(labels: Int64, *, seed: int, repeat: int) -> Bools:
    """Draw a plain stratified test part of 30 %: a mask (N,)."""
    generator = rng.generator(seed, "random split", repeat)
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            test[rows[: max(1, round(TEST_SHARE * len(rows)))]] = True
    return test


def grouped_test(labels: Int64, groups: Int64, *, seed: int, repeat: int) -> Bools:
    """Draw a test part of about 30 % of each class that no group crosses.

    Rare classes choose first; a group counts for its most frequent class. A class
    with one group stays in training.
    """
    generator = rng.generator(seed, "grouped split", repeat)
    table = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(table, (groups, labels), 1)
    owner = table.argmax(axis=1)
    chosen = np.zeros(len(table), bool)
    for label in np.argsort(table.sum(axis=0), kind="stable"):
        own = generator.permutation(np.flatnonzero((owner == label) & table.any(1)))
        wanted = TEST_SHARE * table[:, label].sum()
        for group in own[:-1]:
            missing = wanted - table[chosen, label].sum()
            if missing <= 0:
                break
            # Half a group too many is no better than half a group too few.
            if table[group, label] <= 2 * missing or not chosen[own].any():
                chosen[group] = True
    return chosen[groups]


def leaked_share(groups: Int64, test: Bools) -> float:
    """Return the share of test images whose group also has a training image."""
    in_training = np.zeros(int(groups.max()) + 1, bool)
    in_training[groups[~test]] = True
    return float(in_training[groups[test]].mean()) if test.any() else 0.0


def nearest_accuracy(distances: Float32, labels: Int64, test: Bools) -> float:
    """Return the balanced accuracy of the nearest training image's label."""
    if not test.any() or test.all():
        return float("nan")
    nearest = distances[np.ix_(test, ~test)].argmin(axis=1)
    right = labels[~test][nearest] == labels[test]
    truth = labels[test]
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def standardised(tiny: npt.NDArray[np.uint8]) -> Float32:
    """Return (N, D) pixels, each image with mean 0 and standard deviation 1.

    As a network's normalisation would, this lets another exposure be recognised.
    """
    pixels = tiny.reshape(len(tiny), -1).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    spread = pixels.std(axis=1, keepdims=True)
    return np.asarray(pixels / np.maximum(spread, 1.0), np.float32)


def squared_distances(pixels: Float32) -> Float32:
    """Return (N, N) squared distances between rows (N, D)."""
    norm = (pixels**2).sum(axis=1)
    return np.asarray(
        norm[:, None] + norm[None, :] - 2 * (pixels @ pixels.T), np.float32
    )


def measure(
    tiny: npt.NDArray[np.uint8], labels: Int64, groups: Int64, *, seed: int = 0
) -> Leak | None:
    """Measure leak and gain of random splits.

    Args:
        tiny: (N, S, S) grey copies of the labelled images.
        labels: (N,) class numbers.
        groups: (N,) group numbers.
        seed: of the splits.

    Returns:
        The numbers; None with fewer than two classes or ten images.
    """
    if len(labels) < 10 or len(np.unique(labels)) < 2:
        return None
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    plain = [random_test(labels, seed=seed, repeat=r) for r in range(REPEATS)]
    leaked = float(np.mean([leaked_share(groups, test) for test in plain]))
    rows = _sampled_rows(groups, seed)
    tiny, labels, groups = tiny[rows], labels[rows], groups[rows]
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    distances = squared_distances(standardised(tiny))
    plain = [random_test(labels, seed=seed, repeat=r) for r in range(REPEATS)]
    kept = [grouped_test(labels, groups, seed=seed, repeat=r) for r in range(REPEATS)]
    return Leak(
        leaked,
        _mean_and_spread([nearest_accuracy(distances, labels, t) for t in plain]),
        _mean_and_spread([nearest_accuracy(distances, labels, t) for t in kept]),
        REPEATS,
        len(labels),
    )


def _sampled_rows(groups: Int64, seed: int) -> Int64:
    """Return rows of whole groups, as many as distances can be kept of.

    Single images would lose their twins, and with them the leak. A group too large for
    all of it gives as many of its images as there is room for.
    """
    if len(groups) <= _LARGEST_SET:
        return np.arange(len(groups))
    rank = rng.permutation(seed, "leak sample", 0, int(groups.max()) + 1)[groups]
    return np.sort(np.argsort(rank, kind="stable")[:_LARGEST_SET])


def _mean_and_spread(values: list[float]) -> tuple[float, float] | None:
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return None
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0
