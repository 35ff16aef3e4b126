from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from uda.training.monitor.journal import CsvRows, JsonLines


def test_lines_are_strict_json_with_null_for_nan(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "m.jsonl", start_step=0)
    lines.write(3, 1.25, {"loss/total": math.nan, "a/b": math.inf, "c/d": 0.5})
    lines.close()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    row = json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=refuse)
    assert row == {
        "step": 3,
        "time": 1.25,
        "loss/total": None,
        "a/b": None,
        "c/d": 0.5,
    }


def test_resume_drops_later_lines_and_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    lines = JsonLines(path, start_step=0)
    for step in range(5):
        lines.write(step, float(step), {"loss/total": float(step)})
    lines.close()
    with path.open("a") as stream:
        stream.write('{"step": 5, "time": 5.0, "lo')
    again = JsonLines(path, start_step=3)
    assert again.last_time == 2.0
    assert again.last_values == {"loss/total": 2.0}
    again.write(3, 9.0, {"loss/total": 30.0})
    again.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["loss/total"] == 30.0


def test_a_line_is_on_disk_once_written(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "m.jsonl", start_step=0)
    lines.write(0, 0.0, {"loss/total": 1.0})
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 1
    lines.close()


def test_foreign_lines_are_dropped_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('[1]\n{"step": "x"}\n{"step": 1, "time": 2}\n\xff\n', "latin-1")
    JsonLines(path, start_step=9).close()
    assert path.read_text() == '{"step": 1, "time": 2}\n'


def test_rows_keep_columns_and_drop_what_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = CsvRows(path, ["step", "loss", "val/recall/Rust"], start_step=0)
    rows.write({"step": 10, "loss": 0.123456789, "val/recall/Rust": math.nan})
    rows.write({"step": 20, "loss": 0.1, "unknown": 1.0})
    with path.open("a") as stream:
        stream.write("30,0.0")  # cut by a kill
    again = CsvRows(path, ["step", "loss", "val/recall/Rust"], start_step=20)
    again.write({"step": 20, "loss": 0.2, "val/recall/Rust": 1.0})
    with path.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["step"] for row in found] == ["10", "20"]
    assert [row["loss"] for row in found] == ["0.123457", "0.2"]
    assert [row["val/recall/Rust"] for row in found] == ["", "1"]


def test_a_cut_row_of_an_early_step_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("step,loss\n1,0.5\n2,0.12")  # 0.125 once
    CsvRows(path, ["step", "loss"], start_step=100)
    assert path.read_text() == "step,loss\n1,0.5\n"
