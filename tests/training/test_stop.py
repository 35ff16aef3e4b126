"""Signals: the first asks for an end, the second is one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from uda.training.stop import NAMES, StopRequest


@pytest.fixture
def handlers():
    """Give pytest its signals back."""
    before = {number: signal.getsignal(number) for number in NAMES}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def ran(code):
    """Return how a process of its own ends, and what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_the_first_signal_asks_for_an_end(handlers, capfd, number, code):
    stop = StopRequest().install()
    assert not stop
    os.kill(os.getpid(), number)
    assert stop
    assert stop.exit_code == code
    assert stop.name
    assert "once more leaves at once" in capfd.readouterr().err


def test_nohup_stays_in_force(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = StopRequest().install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stop


def test_the_second_signal_leaves_at_once():
    code = (
        "import os, signal\n"
        "from uda.training.stop import StopRequest\n"
        "stop = StopRequest().install()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('after the first', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('after the second', flush=True)\n"
    )
    found = ran(code)
    assert found.returncode == 143
    assert found.stdout == "after the first\n"


def test_a_terminal_that_closes_twice_and_takes_no_word_is_one_request():
    """bash and the kernel both say so, and standard error is gone by then."""
    code = (
        "import os, signal\n"
        "from uda.training.stop import StopRequest\n"
        "stop = StopRequest().install()\n"
        "os.close(2)\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('saved', stop.exit_code, flush=True)\n"
    )
    found = ran(code)
    assert (found.returncode, found.stdout) == (0, "saved 129\n")
