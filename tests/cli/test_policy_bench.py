"""`uda policy bench`: a line per candidate, floors first."""

from __future__ import annotations

from click.testing import CliRunner

from uda.cli import main

QUICK = ("--size", "8x12", "--batch", "4", "--rounds", "3")


def call(*words):
    return CliRunner().invoke(main, ["policy", "bench", *words])


def test_a_line_each():
    result = call("weak", "example_gamma", *QUICK)
    assert result.exit_code == 0, result.output
    title, header, *lines = result.stdout.splitlines()
    assert title.startswith("8x12 px, 3 channels, batches of 4, 3 rounds")
    assert header.split()[0] == "images/s"
    assert [line.split()[0] for line in lines] == [
        "copy",
        "normalize",
        "weak",
        "example_gamma",
    ]
    assert "100.0%" in lines[0]
    assert "Python, 1 worker" in lines[3]
    assert "thread" in lines[2]


def test_mistakes():
    assert call().exit_code == 2
    assert call("no-such", *QUICK).exit_code == 2
    assert call("weak", "--channels", "2").exit_code == 2
