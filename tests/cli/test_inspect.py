"""The command: answers, files, exit codes, and folders that are never overwritten."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.inspect.test_report import build, several
from tests.support.surfaces import write_surfaces
from uda.cli import main


def test_inspect_answers_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "data")
    result = CliRunner().invoke(main, ["inspect", "data"])
    assert result.exit_code == 0, result.output
    assert "Too low, require treatment: Good" not in result.output
    assert "Rust" in result.output
    assert "Written: runs/inspect/" in result.output
    again = CliRunner().invoke(main, ["inspect", "data", "-q"])
    assert "Written: runs/inspect2/" in again.output
    for name in ("inspect.json", "groups.csv", "groups.png"):
        assert (tmp_path / "runs" / "inspect2" / name).is_file()


def test_an_existing_folder_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    result = CliRunner().invoke(
        main, ["inspect", str(tmp_path), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert "name a new folder" in result.output


def test_wrong_data_and_columns_have_exit_codes(tmp_path: Path) -> None:
    missing = CliRunner().invoke(main, ["inspect", str(tmp_path / "none")])
    assert missing.exit_code == 3
    build(tmp_path / "data")
    column = CliRunner().invoke(
        main, ["inspect", str(tmp_path / "data"), "--group", "lot"]
    )
    assert column.exit_code == 2
    assert "lot" in column.output


def test_several_labels_per_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(several(tmp_path))
    result = CliRunner().invoke(main, ["inspect", ".", "--multi-label"])
    assert result.exit_code == 0, result.output
    assert "30 images, 24 labelled in 2 classes" in result.output
    assert "(no class)" in result.output
    one = CliRunner().invoke(main, ["inspect", "."])
    assert one.exit_code == 3
    assert "--multi-label" in one.output


def test_commands_are_whole_in_a_narrow_terminal(tmp_path, monkeypatch):
    """Cut or wrapped, they could not be copied."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    write_surfaces(tmp_path, per_class=8)
    result = CliRunner().invoke(
        main, ["inspect", str(tmp_path / "data"), "--unlabeled", str(tmp_path / "more")]
    )
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    stored = json.loads((tmp_path / "runs" / "inspect" / "inspect.json").read_text())
    for advice in stored["advice"]:
        if advice["command"].startswith("uda "):
            assert f"$ {advice['command']}" in lines
    following = lines[-1].removeprefix("Next: ")
    assert shlex.split(following)[:3] == ["uda", "split", str(tmp_path / "data")]
