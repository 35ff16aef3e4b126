"""What foreign code prints: to stderr, and only its first lines.

stdout carries results alone, and a policy that prints is called once per image.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

SHOWN = 5

_lines: dict[str, int] = {}  # complete lines by source, in this process


def no_output(source: object) -> contextlib.AbstractContextManager[Any]:
    """Send what code prints to stderr, its first lines only.

    Args:
        source: the file it is of, for the count and for the last line shown.
    """
    return contextlib.redirect_stdout(_FirstLines(str(source)))


def printed(source: object) -> int:
    """Return how many lines a source has printed so far, in this process."""
    return _lines.get(str(source), 0)


class _FirstLines(io.TextIOBase):
    """Passes the first lines of a source on to stderr."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source

    def write(self, text: str) -> int:
        """Write what belongs to the first lines, and count all of them."""
        for piece in text.splitlines(keepends=True):
            before = _lines.get(self._source, 0)
            if before < SHOWN:
                sys.stderr.write(piece)
            if piece.endswith("\n"):
                _lines[self._source] = before + 1
                if before == SHOWN:
                    sys.stderr.write(
                        f"(further prints of {self._source} are not shown)\n"
                    )
        return len(text)

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()

    def fileno(self) -> int:
        """Return stderr's: some libraries write below Python's level."""
        return sys.stderr.fileno()
