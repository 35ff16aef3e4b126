"""Step -> value: learning rate, consistency weight, TSA progress.

Steps are the only clock inside; epochs and minutes are converted at the edge.
"""

from __future__ import annotations

import math
from itertools import accumulate

from uda.training.config import RunConfig


def learning_rate_factor(step: int, *, total: int, kind: str, warmup: int = 0) -> float:
    """Return the factor of the peak learning rate at a step.

    Args:
        step: 0-based step.
        total: number of steps of the run.
        kind: ``constant``; ``cosine`` (to 0); ``cosine-7-16``, cos(7 pi s / 16),
            as released with UDA and FixMatch, ends at 0.195; ``one-cycle``
            (rise over the first 30 % from 1/25, then cosine to 1e-4/25, the
            constants of torch's OneCycleLR).
        warmup: steps of linear rise in front; ``one-cycle`` brings its own.
    """
    progress = min(1.0, step / max(1, total))
    if kind == "one-cycle":
        return _one_cycle(progress)
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    if kind == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if kind == "cosine-7-16":
        return math.cos(7.0 * math.pi * progress / 16.0)
    raise ValueError(f"unknown learning-rate schedule {kind!r}")


def _one_cycle(progress: float) -> float:
    rise, start, end = 0.3, 1 / 25, 1e-4 / 25
    if progress < rise:
        low, high, share = start, 1.0, progress / rise
    else:
        low, high, share = 1.0, end, (progress - rise) / (1 - rise)
    return high + (low - high) * 0.5 * (1.0 + math.cos(math.pi * share))


def ramp(step: int, *, start: int, length: int) -> float:
    """Return 0 before ``start``, then rise linearly to 1 over ``length`` steps."""
    if step < start:
        return 0.0
    return 1.0 if length <= 0 else min(1.0, (step - start + 1) / length)


def annealing_progress(step: int, *, length: int) -> float | None:
    """Return TSA's progress s in [0, 1], or None once the schedule has ended.

    A schedule that lasts the whole run caps labelled confidence for so long that
    the confidence mask starves the unlabelled branch; it may therefore be
    shorter than the run.
    """
    return step / length if step < length else None


def consistency_start(config: RunConfig) -> int:
    """Return the first step with an unlabelled branch."""
    return round(config.consistency.start_share * config.loop.steps)


def size_starts(config: RunConfig) -> tuple[int, ...]:
    """Return the first step of each size; (0,) where there is one size."""
    ends = accumulate(share for _, _, share in config.data.sizes[:-1])
    return (0, *(round(end * config.loop.steps) for end in ends))


def size_number(config: RunConfig, step: int) -> int:
    """Return which of the sizes a step trains at, from 0."""
    return sum(first <= step for first in size_starts(config)) - 1
