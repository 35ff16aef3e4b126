from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from uda.training.monitor.progress import (
    LiveProgress,
    PlainProgress,
    Progress,
    counted,
    format_seconds,
    make_progress,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


VALUES = {
    "loss/total": 0.5321,
    "unlabeled/mask_rate": 0.912,
    "val/balanced_accuracy": 0.5,
    "val_ema/balanced_accuracy": 0.843,
}


def test_plain_lines_come_every_few_seconds_and_at_the_end() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream=stream, clock=clock, every_seconds=10)
    progress.start(100)
    for step in range(1, 101):
        clock.now += 0.5
        progress.update(step, VALUES if step == 1 else None)
    progress.update(100, VALUES)  # the last evaluation comes after the last step
    progress.stop()
    progress.stop()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("step 1/100 (1 %)  loss 0.532  mask rate 0.91")
    assert "val bal. acc. 0.843" in lines[0]
    assert "step 21/100 (21 %)" in lines[1]
    assert lines[1].endswith("0:40 left")  # 79 steps of half a second
    assert lines[-1].startswith("step 100/100 (100 %)")
    assert "left" not in lines[-1]


def test_stages_notes_and_warnings() -> None:
    stream, results = io.StringIO(), io.StringIO()
    progress = PlainProgress(stream=stream, results=results, every_seconds=1000)
    for done in range(1, 6):
        progress.stage("reading images", done, 5)
    progress.note("a note")
    progress.warn("careful")
    progress.result("the result")
    assert stream.getvalue().splitlines() == [
        "reading images 1/5 (20 %)",
        "reading images 5/5 (100 %)",
        "a note",
        "Warning: careful",
    ]
    assert results.getvalue() == "the result\n"


def test_quiet_still_warns_and_gives_results() -> None:
    stream, results = io.StringIO(), io.StringIO()
    progress = Progress(stream=stream, results=results)
    progress.start(10)
    progress.update(10, VALUES)
    progress.stage("reading images", 1, 1)
    progress.note("a note")
    progress.warn("careful")
    progress.result("the result")
    progress.stop()
    assert stream.getvalue() == "Warning: careful\n"
    assert results.getvalue() == "the result\n"


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress(quiet=True, stream=Terminal())) is Progress
    assert type(make_progress(stream=io.StringIO())) is PlainProgress
    assert type(make_progress(stream=Terminal())) is LiveProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(stream=Terminal())) is PlainProgress
    closed = Terminal()
    closed.close()
    monkeypatch.setenv("TERM", "xterm")
    make_progress(stream=closed).update(1)


@pytest.mark.parametrize("columns", ["12", "40", "80", "200"])
def test_live_line_stays_on_one_line_at_any_width(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    stream = Terminal()
    progress = LiveProgress(stream=stream, every_seconds=0)
    progress.start(1000)
    for step in range(1, 4):
        progress.update(step, VALUES)
    drawn = stream.getvalue()
    assert "\n" not in drawn  # never a second line: it would scroll away
    assert "1A" not in drawn  # and so no moving up
    progress.warn("careful")
    progress.result("done")
    progress.stop()
    assert "careful" in stream.getvalue()


def test_no_color_means_no_colour_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    drawn = []
    for value in (None, "1"):
        if value:
            monkeypatch.setenv("NO_COLOR", value)
        else:
            monkeypatch.delenv("NO_COLOR", raising=False)
        stream = Terminal()
        progress = LiveProgress(stream=stream, every_seconds=0)
        progress.start(10)
        progress.update(5, VALUES)
        progress.warn("careful")
        progress.stop()
        drawn.append(stream.getvalue())
    assert "\x1b[3" in drawn[0] or "\x1b[38" in drawn[0]
    assert "\x1b[3" not in drawn[1]


@pytest.mark.parametrize("kind", [Progress, PlainProgress, LiveProgress])
def test_a_broken_pipe_silences_and_nothing_else(
    kind: type[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    progress = kind(stream=Broken(), results=Broken())
    progress.start(3)
    for step in range(4):
        progress.update(step, VALUES)
    progress.stage("x", 1, 2)
    progress.note("a note")
    progress.warn("careful")
    progress.result("the result")
    progress.stop()
    assert progress.step == 3


def test_text_that_the_terminal_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Progress(stream=stream).warn("Riß 50 %")
    assert raw.getvalue() == b"Warning: Ri\\xdf 50 %\n"


SCRIPT = """
import sys, time
from uda.training.monitor.progress import make_progress
progress = make_progress(every_seconds=0)
progress.start(300)
for step in range(1, 301):
    progress.update(step, {"loss/total": 1.0})
    if step == 150:
        time.sleep(0.2)
progress.result("the result")
progress.stop()
"""


def test_a_reader_that_leaves_does_not_end_the_program() -> None:
    """`uda train 2>&1 | head -1`: exit code 0 and no traceback at exit."""
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    child.stdout.close()
    assert child.wait(timeout=60) == 0
    assert first.startswith(b"step 1/300")


def test_results_go_to_stdout_and_logs_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout == "the result\n"
    assert done.stderr.startswith("step 1/300")


def test_a_real_terminal_gets_one_redrawn_line(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60"}
    with (tmp_path / "out").open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdout=output,
            stderr=follower,
            env=environment,
        )
    os.close(follower)
    drawn = b""
    try:
        while chunk := os.read(leader, 4096):
            drawn += chunk
    except OSError:  # how Linux says that the other end has closed
        pass
    finally:
        os.close(leader)
    assert child.wait(timeout=60) == 0
    assert b"step 300/300" in drawn
    assert drawn.count(b"\n") == 1
    assert (tmp_path / "out").read_text() == "the result\n"


def test_numbers_for_people() -> None:
    assert counted(30, 120) == "30/120 (25 %)"
    assert counted(3, 0) == "3"
    times = [format_seconds(seconds) for seconds in (-1, 42.4, 725, 11220)]
    assert times == ["0:00", "0:42", "12:05", "3:07:00"]


def test_evaluations_after_the_last_step_do_not_repeat_the_live_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = LiveProgress(stream=stream, every_seconds=0)
    progress.stage("reading images", 5, 5)
    progress.start(10)
    for _ in range(4):
        progress.update(10, VALUES)
    progress.stop()
    progress.stop()
    assert stream.getvalue().count("\n") == 2  # one line per display
