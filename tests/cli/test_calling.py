"""Keywords become the words that a person would type."""

from __future__ import annotations

import signal
from pathlib import Path

import click
import pytest

from uda.cli.calling import call, option_words
from uda.errors import UsageError


def test_options_become_words_of_the_command_line():
    command = click.Command(
        "x",
        params=[
            click.Option(["--labels-per-class"]),
            click.Option(["--unlabeled"], multiple=True),
            click.Option(["--quiet"], is_flag=True),
            click.Option(["--deep/--flat"], default=True),
        ],
    )
    given = {
        "labels_per_class": {"Good": 4, "Rust": 2},
        "unlabeled": ["a", Path("b=c")],
        "quiet": True,
        "deep": False,
        "split": None,
    }
    words = [
        "--labels-per-class=Good=4,Rust=2", "--unlabeled=a", "--unlabeled=b=c",
        "--quiet", "--flat",
    ]  # fmt: skip
    assert option_words(command, given) == words
    assert option_words(command, {"quiet": False}) == []
    with pytest.raises(UsageError, match="--quiet is True or False, not 'yes'"):
        option_words(command, {"quiet": "yes"})
    with pytest.raises(UsageError, match="takes one value, not 2"):
        option_words(command, {"labels_per_class": [5, 3]})


def test_a_command_is_found_by_its_words(capsys):
    assert call("policy show", "defect-safe") is None
    assert "defect-safe" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no command 'policy shew'"):
        call("policy shew", "defect-safe")


@pytest.mark.parametrize("code", [130, 143, 129])
def test_the_signals_are_given_back(monkeypatch, tmp_path, code):
    mine = signal.getsignal(signal.SIGINT)
    hang_up = signal.getsignal(signal.SIGHUP)

    def stopped(self, *_, **__):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise SystemExit(code)

    monkeypatch.setattr(click.Command, "main", stopped)
    with pytest.raises(KeyboardInterrupt, match="train: stopped"):
        call("train", tmp_path)
    assert signal.getsignal(signal.SIGINT) is mine
    assert signal.getsignal(signal.SIGHUP) is hang_up


def test_another_exit_is_passed_on(monkeypatch, tmp_path):
    def left(self, *_, **__):
        raise SystemExit(3)

    monkeypatch.setattr(click.Command, "main", left)
    with pytest.raises(SystemExit):
        call("train", tmp_path)
