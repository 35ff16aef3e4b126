"""The counter speaks to a terminal and to nothing else."""

from __future__ import annotations

import io
import sys

import pytest

from uda.cli.progress import counter, stoppable


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


def test_what_an_interrupted_call_says_is_passed_on(capsys):
    with pytest.raises(SystemExit) as left, stoppable():
        raise KeyboardInterrupt("half of it is done")
    assert left.value.code == 130
    assert "Interrupted. half of it is done" in capsys.readouterr().err
    with pytest.raises(SystemExit), stoppable():
        raise KeyboardInterrupt
    assert capsys.readouterr().err.endswith("Interrupted.\n")
