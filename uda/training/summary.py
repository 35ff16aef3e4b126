"""How a run ended, as a value that commands can show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """State ``done`` or ``interrupted``, the step, and the last evaluation."""

    state: str
    step: int
    metrics: dict[str, float]
