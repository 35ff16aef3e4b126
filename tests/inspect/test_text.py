"""The report as text names what is too low, and breaks no line of markup."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tests.inspect.test_report import add_pool, build
from uda.inspect.report import inspect_data
from uda.inspect.text import render


def test_the_report_reads_well(tmp_path: Path) -> None:
    folder = build(tmp_path / "data")
    (folder / "Rust").rename(folder / "Rust [red]")
    found = inspect_data(folder, unlabeled=[add_pool(tmp_path / "pool")])
    console = Console(width=110, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(found))
    text = console.export_text()
    assert "Too low, require treatment: Rust [red]." in text
    assert "Unreadable: 1 files." in text
    assert "Identical files, different labels (Good, Rust [red])" in text
    assert "299 / 59 / 29" in text
    assert "Unlabelled against labelled" in text
    assert "What to try first" in text
    console.file.close()
