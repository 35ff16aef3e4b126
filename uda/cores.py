"""How many cores this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores that this process may use, at least 1.

    A scheduler or ``taskset`` may grant fewer than the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reading_threads() -> int:
    """Return the threads to read files with: one decodes while another waits."""
    return max(2, usable_cores())
