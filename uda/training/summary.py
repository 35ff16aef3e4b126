"""How a run ended, as a value that commands can show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Summary:
    """State ``done`` or ``interrupted``, the step, and the last evaluation.

    ``run`` is the folder to evaluate or to resume; None after a dry run.
    """

    state: str
    step: int
    metrics: dict[str, float]
    run: Path | None = None
