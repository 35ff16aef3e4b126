"""The report as text names what is too low, and breaks no line of markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
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


def test_colours_have_names_and_a_hint_where_they_tell_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, color in (("Good", (120, 121, 122)), ("Rust [b]", (140, 80, 40))):
        (tmp_path / label).mkdir()
        for i in range(6):
            pixels = rng.normal(color, 3, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    found = inspect_data(tmp_path)
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(found))
    text = console.export_text()
    assert "brown 100%" in text
    assert "Colour may tell Rust [b] (brown) from Good" in text
    assert found.as_dict()["dominant_colors"]["Rust [b]"][0]["name"] == "brown"
    console.file.close()
