"""`uda policy list`: names, origins, reasons."""

from __future__ import annotations

from click.testing import CliRunner

from uda.augment.policy import packaged_policies
from uda.cli import main


def test_names_and_broken_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "[bold]mine.yaml").write_text("hflip: 2\n")
    result = CliRunner().invoke(main, ["policy", "list"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["name", "from", "kind"]
    words = {line.split()[0]: line for line in lines[1:] if line}
    assert set(packaged_policies()) <= set(words)
    assert "BROKEN" in words["[bold]mine"]
    assert "./policies" in words["[bold]mine"]
    assert "hflip is 2.0" in result.stdout
    assert "1 of " in result.stdout
    assert "uda policy show NAME" in lines[-1]
