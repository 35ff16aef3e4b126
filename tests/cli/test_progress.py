"""The counter speaks to a terminal and to nothing else."""

from __future__ import annotations

import io
import sys

from uda.cli.progress import counter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_only_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert counter() is None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show = counter()
    assert show is not None
    show("predict", 5, 10)
    show("predict", 10, 10)
    assert terminal.getvalue().splitlines()[-1].endswith("10 of 10 images")
