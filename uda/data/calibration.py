"""How strongly unrelated images of one data set correlate, and what is beyond that.

The threshold comes from the data set itself, never from labels or given groups.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.data.correlation import MIN_BLOCKS, NUM_TURNS, Scores, score_pairs
from uda.data.detail import LONGEST, Float64, Frames
from uda.data.matching import Proposals

_SAMPLE = 3000
_SAMPLE_PER_IMAGE = 15
_TOO_FEW = 60
# A small set's own variances count as much as this many pairs of the default's.
_PRIOR_PAIRS = 300
# At least this much of the median block's detail must be shared, however tame the
# null distribution is.
_FLOOR = 0.35
_LEAST_TAIL = 6.0


@dataclass(frozen=True)
class Calibration:
    """Null distribution of the score of unrelated images.

    The score of k blocks is taken to have mean ``mean`` and variance
    ``between + within / k``; ``tail`` standard deviations above is the threshold.

    Attributes:
        mean: mean score of unrelated images.
        between: variance that more blocks do not reduce (common structure).
        within: variance of one block.
        tail: standard deviations to ask for.
        pairs: number of unrelated pairs measured; 0 = defaults, too few images.
    """

    mean: float = 0.15
    between: float = 0.0005
    within: float = 0.02
    tail: float = 6.0
    pairs: int = 0

    def threshold(self, blocks: npt.ArrayLike) -> Float64:
        """Return the least score, for each number of blocks, that is a proof."""
        count = np.maximum(np.asarray(blocks, np.float64), 1)
        spread = np.sqrt(self.between + self.within / count)
        return np.maximum(_FLOOR, self.mean + self.tail * spread)

    def as_dict(self) -> dict[str, float]:
        """Return plain numbers, with the threshold at 8 and at 64 blocks."""
        few, many = (float(t) for t in self.threshold([8, 64]))
        return asdict(self) | {"threshold_8_blocks": few, "threshold_64_blocks": many}


def calibrate(frames: Frames, proposals: Proposals, *, seed: int = 0) -> Calibration:
    """Measure scores of pairs that nobody proposed, at turns and shifts proposed.

    Each null pair takes turn and shift of a real proposal and replaces its second
    image by a random one; pairs that are proposals themselves are left out, so that
    real twins hardly enter. Common structure (parts in one fixture) does enter, as
    it must.
    """
    nulls = _null_pairs(proposals, len(frames), seed)
    scores = score_pairs(
        frames, (nulls.first, nulls.second), turns=nulls.turn, shifts=nulls.shift
    )
    return fit_null(scores, images=len(frames))


def fit_null(scores: Scores, *, images: int) -> Calibration:
    """Fit the null distribution to scores of unrelated pairs.

    The upper tail is taken as exponential, each decade as wide as the one from the
    90th to the 99th percentile, and followed until fewer than one false pair is to
    be expected among all pairs of images in all turns.

    Args:
        scores: of unrelated pairs.
        images: number of images in the set.
    """
    usable = scores.blocks >= MIN_BLOCKS
    values = scores.score[usable]
    if len(values) < _TOO_FEW:
        return Calibration()
    inverse = 1.0 / scores.blocks[usable]
    mean = float(np.median(values))
    distinct = min(len(values), images * (images - 1) // 2)
    own = distinct / (distinct + _PRIOR_PAIRS)
    measured = _variances((values - mean) ** 2, inverse)
    prior = (Calibration.between, Calibration.within)
    between, within = (
        own * a + (1 - own) * b for a, b in zip(measured, prior, strict=True)
    )
    standard = (values - mean) / np.sqrt(between + within * inverse)
    middle, high = np.quantile(standard, [0.9, 0.99])
    decades = np.log10(NUM_TURNS * images * (images - 1) / 2) - 2.0
    tail = max(_LEAST_TAIL, float(high + decades * (high - middle)))
    return Calibration(mean, between, within, tail, len(values))


def _variances(squares: Float64, inverse: Float64) -> tuple[float, float]:
    """Fit squares = between + within * inverse, neither below a small floor."""
    # Outliers are what is looked for; they must not widen their own yardstick.
    squares = np.minimum(squares, np.quantile(squares, 0.98))
    design = np.stack([np.ones_like(inverse), inverse], axis=1)
    (between, within), *_ = np.linalg.lstsq(design, squares, rcond=None)
    if within < 0:
        between, within = float(squares.mean()), 0.0
    if between < 0:
        between, within = 0.0, float((squares / inverse).mean())
    return max(float(between), 1e-4), max(float(within), 1e-3)


def _null_pairs(proposals: Proposals, count: int, seed: int) -> Proposals:
    generator = rng.generator(seed, "unrelated pairs")
    total = len(proposals.first)
    if total == 0:
        return proposals
    size = min(_SAMPLE, _SAMPLE_PER_IMAGE * count)
    rows = generator.integers(total, size=size)
    first = proposals.first[rows]
    second = generator.integers(count, size=size)
    known = set((proposals.first * count + proposals.second).tolist())
    low, high = np.minimum(first, second), np.maximum(first, second)
    fresh = np.array(
        [a != b and a * count + b not in known for a, b in zip(low, high, strict=True)]
    )
    picked = proposals.take(rows[fresh])._replace(second=second[fresh])
    if len(picked.first) >= _PRIOR_PAIRS:
        return picked
    wrong = _wrong_geometry(count, generator)
    both = (np.concatenate(pair) for pair in zip(picked, wrong, strict=True))
    return Proposals(*both)


def _wrong_geometry(count: int, generator: np.random.Generator) -> Proposals:
    """Lay any two images on each other at random: even twins do not fit then.

    In a small set every pair may be a candidate, and none would be left as null.
    """
    first = generator.integers(count, size=_PRIOR_PAIRS)
    second = (first + generator.integers(1, count, size=_PRIOR_PAIRS)) % count
    turn = generator.integers(NUM_TURNS, size=_PRIOR_PAIRS)
    shift = generator.uniform(-LONGEST / 3, LONGEST / 3, size=(_PRIOR_PAIRS, 2))
    return Proposals(first, second, turn, shift, np.ones(_PRIOR_PAIRS, np.int64))
