"""What a study shows on the way: cells in a log, and its table."""

from __future__ import annotations

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


def test_the_table_has_a_line_per_strategy(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("a [red]name[/red]", right(0.4))
    study.add("b", right(0.9), lacking=[(0, 0)])
    found = report_study(study.folder, study.request, study.plan, study.split)
    text = table_text(found)
    assert "a [red]name[/red]" in text
    assert "5/6, 1 failed" in text
    assert "difference" in text
