"""Which images a step sees: pure functions of the step number, without state.

Labelled draws follow p(class) ∝ n^power with a repeat cap; unlabelled draws are
consecutive permutations, each image once per epoch.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from uda.errors import UsageError
from uda.rng import permutation

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

_MIN_DRAWS_PER_CLASS = 16


def class_probabilities(
    counts: npt.ArrayLike, *, power: float, max_repeat: float | None = None
) -> Float64:
    """Probability of each class under p(class) ∝ n^power with a repeat cap.

    The cap bounds how often one image comes back: ``total * p_c / n_c`` draws per
    pass over ``total`` images. What a capped class gives up goes to the others in
    proportion to their weights, until no class is above its cap.

    Args:
        counts: (C,) images per class; a class without images gets 0.
        power: q in [0, 1]; 0 = every class alike, 1 = as the data are, 0.5 =
            square root (Kang et al., "Decoupling", ICLR 2020).
        max_repeat: at least 1, or None for no cap.

    Returns:
        (C,) float64 that sums to 1.

    Raises:
        UsageError: for a power or cap outside its range, or no images at all.
    """
    _check_ranges(power, max_repeat)
    images = np.asarray(counts, dtype=np.float64)
    if images.size == 0 or images.sum() <= 0:
        raise UsageError("there are no labelled images to sample from; label some")
    present = images > 0
    weights = np.where(present, np.where(present, images, 1.0) ** power, 0.0)
    if max_repeat is None:
        return np.asarray(weights / weights.sum(), dtype=np.float64)
    return _cap(weights, max_repeat * images / images.sum())


def _check_ranges(power: float, max_repeat: float | None) -> None:
    if not 0.0 <= power <= 1.0:
        raise UsageError(
            f"sampling power {power}: must lie between 0 (every class alike) and "
            "1 (classes as they are)"
        )
    if max_repeat is not None and not max_repeat >= 1.0:
        raise UsageError(
            f"repeat cap {max_repeat}: must be 1 or more draws per image and pass; "
            "leave it out for no cap"
        )


def _cap(weights: Float64, limits: Float64) -> Float64:
    """Share a mass of 1 by weights so that nobody gets more than their limit."""
    shares = np.zeros_like(weights)
    free = weights > 0
    while free.any():
        left = 1.0 - shares[~free].sum()
        shares[free] = left * weights[free] / weights[free].sum()
        over = free & (shares > limits * (1 + 1e-12))
        if not over.any():
            break
        shares[over] = limits[over]
        free &= ~over
    return shares


def _round_to_total(shares: Float64, total: int, limits: Int64) -> Int64:
    """Whole numbers near ``shares * total``, by largest remainder under limits."""
    exact = shares * total
    counts = np.minimum(np.floor(exact + 1e-9).astype(np.int64), limits)
    remainder = exact - counts
    while (missing := total - int(counts.sum())) > 0:
        open_classes = np.flatnonzero((counts < limits) & (shares > 0))
        order = open_classes[np.argsort(-remainder[open_classes], kind="stable")]
        counts[order[:missing]] += 1
        remainder[order[:missing]] -= 1.0
    return counts


class LabeledSampler:
    """Labelled images with p(class) ∝ n^power, balanced exactly in every epoch.

    An epoch is ``epoch_length`` positions, a whole number of passes over the n
    labelled images and at least one batch and 16 draws per class. It holds a fixed
    number of draws of each class; a class's draws run through consecutive
    permutations of its images, so no image comes back before all others of its
    class were seen. The epoch's order is a permutation of its own. Over any number
    of epochs an image is drawn as often as any other of its class, give or take one,
    and on average at most ``max_repeat`` times per pass.
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        *,
        batch: int,
        seed: int,
        power: float = 0.0,
        max_repeat: float | None = None,
        num_classes: int | None = None,
        stream: str = "labeled-index",
    ) -> None:
        """Prepare the tables of an epoch.

        Args:
            labels: (n,) class index of each labelled image.
            batch: images per step.
            seed: the run's seed.
            power: q of p(class) ∝ n^q; 0 = class balanced, 1 = as is.
            max_repeat: most draws of one image per pass over n images, or None.
            num_classes: C; the largest label + 1 unless given.
            stream: name of the random stream.

        Raises:
            UsageError: for an empty set, a batch below 1 or values out of range.
        """
        self.labels = np.array(labels, dtype=np.int64).reshape(-1)
        if self.labels.size and self.labels.min() < 0:
            raise UsageError("labelled sampling needs a class for every image")
        self.batch = _checked_batch(batch)
        self.seed = int(seed)
        self.stream = stream
        counts = np.bincount(self.labels, minlength=num_classes or 0)
        shares = class_probabilities(counts, power=power, max_repeat=max_repeat)
        self.epoch_length, self.draws = _epoch_draws(
            counts, shares, batch=self.batch, max_repeat=max_repeat
        )
        self._members = [np.flatnonzero(self.labels == c) for c in range(counts.size)]
        self._memo: tuple[int, Int64] | None = None

    @property
    def class_probs(self) -> Float64:
        """(C,) the class prior that training sees, after caps and rounding."""
        return np.asarray(self.draws / self.epoch_length, dtype=np.float64)

    @property
    def repeats(self) -> Float64:
        """(C,) draws per image of a class in one pass over the labelled images."""
        counts = np.bincount(self.labels, minlength=self.draws.size)
        passes = self.epoch_length / self.labels.size
        return np.asarray(self.draws / np.maximum(counts, 1) / passes, dtype=np.float64)

    def indices(self, step: int) -> Int64:
        """Return the (batch,) indices into ``labels`` of one step."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = positions // self.epoch_length
        offsets = positions % self.epoch_length
        parts = [self._epoch(int(e))[offsets[epochs == e]] for e in np.unique(epochs)]
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> Int64:
        # The memo only saves work; one assignment keeps it safe among threads.
        memo = self._memo
        if memo is None or memo[0] != epoch:
            memo = (epoch, self._build_epoch(epoch))
            self._memo = memo
        return memo[1]

    def _build_epoch(self, epoch: int) -> Int64:
        items = np.concatenate(
            [self._class_items(c, epoch) for c in range(self.draws.size)]
        )
        name = f"{self.stream}/order"
        return items[permutation(self.seed, name, epoch, self.epoch_length)]

    def _class_items(self, label: int, epoch: int) -> Int64:
        members, draws = self._members[label], int(self.draws[label])
        if draws == 0:
            return np.empty(0, dtype=np.int64)
        first, last = epoch * draws, (epoch + 1) * draws
        lap, end = first // members.size, math.ceil(last / members.size)
        name = f"{self.stream}/class/{label}"
        laps = [
            members[permutation(self.seed, name, k, members.size)]
            for k in range(lap, end)
        ]
        skip = first - lap * members.size
        return np.concatenate(laps)[skip : skip + draws]


def _checked_batch(batch: int) -> int:
    if batch < 1:
        raise UsageError(f"batch {batch}: must be 1 or more images")
    return int(batch)


def _epoch_draws(
    counts: Int64, shares: Float64, *, batch: int, max_repeat: float | None
) -> tuple[int, Int64]:
    total = int(counts.sum())
    wanted = max(total, batch, _MIN_DRAWS_PER_CLASS * counts.size)
    # Whole passes, so that the cap (draws per pass) stays exact after rounding.
    passes = math.ceil(wanted / total)
    length = passes * total
    limits = np.where(counts > 0, length, 0).astype(np.int64)
    if max_repeat is not None:
        limits = np.floor(max_repeat * counts * passes + 1e-9).astype(np.int64)
    return length, _round_to_total(shares, length, limits)


class UnlabeledSampler:
    """Unlabelled images in consecutive permutations: each once per epoch.

    A batch may be larger than the set; it then holds several epochs or parts of
    them.
    """

    def __init__(
        self, n: int, *, batch: int, seed: int, stream: str = "unlabeled-index"
    ) -> None:
        """Remember sizes and names.

        Raises:
            UsageError: for no images or a batch below 1.
        """
        if n < 1:
            raise UsageError(
                "there are no unlabelled images to sample from; give a folder with "
                "--unlabeled or train without them (method supervised)"
            )
        self.n = int(n)
        self.batch = _checked_batch(batch)
        self.seed = int(seed)
        self.stream = stream
        self._memo: tuple[int, Int64] | None = None

    def indices(self, step: int) -> Int64:
        """Return the (batch,) indices in [0, n) of one step."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs, offsets = positions // self.n, positions % self.n
        parts = [self._epoch(int(e))[offsets[epochs == e]] for e in np.unique(epochs)]
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> Int64:
        memo = self._memo
        if memo is None or memo[0] != epoch:
            memo = (epoch, permutation(self.seed, self.stream, epoch, self.n))
            self._memo = memo
        return memo[1]
