"""Where in the run a step is."""

from __future__ import annotations

from typing import NamedTuple


class Clock(NamedTuple):
    """Where in the run a step is.

    Attributes:
        step: 0-based micro step, the counter of random draws.
        progress: of the run, in [0, 1].
        annealed: progress of the annealing, or None once it has ended.
    """

    step: int
    progress: float
    annealed: float | None
