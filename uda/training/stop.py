"""Stopping on request: the first signal saves and ends, the second leaves at once.

Imports nothing heavy, so that handlers stand before torch is loaded.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NAMES = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "a closed terminal (SIGHUP)",
}


@contextmanager
def own_signals() -> Iterator[None]:
    """Give the caller's handlers back: a training takes these signals for itself."""
    before = [(number, signal.getsignal(number)) for number in NAMES]
    try:
        yield
    finally:
        for number, handler in before:
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


class StopRequest:
    """Set by SIGINT, SIGTERM or SIGHUP; the loop looks at it between steps."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def install(self) -> StopRequest:
        """Take over these signals (main thread only).

        What ``nohup`` had ignored stays ignored.
        """
        for number in NAMES:
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if not (ignored and number == signal.SIGHUP):
                signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if number == signal.SIGHUP:  # a terminal that closes says so several times
                return
            # Checkpoints are written to a temporary file and renamed, so what is
            # on disk is whole however abruptly the process ends.
            os._exit(128 + number)
        self.signal = number
        # Not print: the signal may have come in the middle of one.
        with suppress(OSError):  # the terminal may be what went away
            os.write(2, b"\nStopping at the next step; once more leaves at once.\n")

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + (self.signal or 0)

    @property
    def name(self) -> str:
        """What stopped the run, in words."""
        return NAMES.get(signal.Signals(self.signal), "") if self.signal else ""
