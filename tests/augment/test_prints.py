"""Prints of policies: on stderr, the first lines, counted."""

from __future__ import annotations

import sys

from uda.augment.prints import SHOWN, no_output, printed


def test_the_first_lines_are_shown_and_the_end_is_said_once(capsys):
    for number in range(3):
        with no_output("first.py"):
            print("a", number, sep="-")  # noqa: T201
            print("two\nlines")  # noqa: T201
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        *("a-0", "two", "lines", "a-1", "two"),
        "(further prints of first.py are not shown)",
    ]
    assert printed("first.py") == 9 > SHOWN


def test_sources_are_counted_apart_and_half_lines_are_kept(capsys):
    with no_output("second.py"):
        sys.stdout.write("half ")
        sys.stdout.write("a line\n")
        sys.stdout.flush()
    assert printed("second.py") == 1
    assert printed("third.py") == 0
    assert capsys.readouterr().err == "half a line\n"
