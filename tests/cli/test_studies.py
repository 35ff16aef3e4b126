"""What a study shows on the way: cells in a log, and its table."""

from __future__ import annotations

import io

from tests.study.fakes import FakeStudy, right
from uda.cli.studies import cells_progress, table_text
from uda.study.report import report_study


def test_a_log_gets_a_line_per_cell_and_the_time_left(capsys):
    cell = {"slug": "uda", "repeat": 0, "fold": 1}
    with cells_progress() as show:
        show(0, 3, None)
        show(1, 3, {**cell, "balanced_accuracy": 0.5})
        show(2, 3, {**cell, "error": "NaN"})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cell 0/3"
    assert "uda r0-f1: balanced accuracy 0.500" in lines[1]
    assert lines[1].endswith("left")
    assert "failed (NaN)" in lines[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with cells_progress() as show:
        show(4, 6, None)
        show(5, 6, {"slug": "uda", "repeat": 0, "fold": 1, "balanced_accuracy": 0.5})
    assert "5/6" in terminal.getvalue()
    assert "uda r0-f1" in terminal.getvalue()


def test_brackets_in_an_error_are_no_markup(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with cells_progress() as show:
        show(6, 6, {"slug": "x", "repeat": 0, "fold": 1, "error": "[/data/x.png]"})
    assert "failed ([/data/x.png])" in terminal.getvalue()


def test_the_table_has_a_line_per_strategy(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("a [red]name[/red]", right(0.4))
    study.add("b", right(0.9), lacking=[(0, 0)])
    found = report_study(study.folder, study.request, study.plan, study.split)
    text = table_text(found)
    assert "a [red]name[/red]" in text
    assert "5/6, 1 failed" in text
    assert "difference" in text
