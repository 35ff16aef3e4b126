"""The page of a study: self-contained, no script, no image, names only to be read."""

from __future__ import annotations

import html
import json
import re

import pytest

from uda.errors import CheckpointError
from uda.reporting.verdict import plot, write_verdict


def row(name, value, low=None, high=None, standing="unclear"):
    gaps = {}
    if low is not None:
        gaps = {"balanced_accuracy": {"value": value, "interval": [low, high]}}
    return {
        "name": name, "flags": "--lr 1", "values": {"balanced_accuracy": 0.5 + value},
        "gaps": gaps, "standing": standing if gaps else None, "best": 0.5, "cells": 4,
        "failed": 0, "errors": [], "seconds": 3.2,
    }  # fmt: skip


def facts(**changes):
    rows = [
        row("plain", 0.0),
        row("<script>alert(1)</script>", 0.061, 0.02, 0.103, "gain"),
        row("worse", -0.2, -0.31, -0.1, "loss"),
    ]
    return {
        "format": 1, "title": "tiles", "reference": "plain", "main":
        "balanced_accuracy", "measures": {"balanced_accuracy": "balanced accuracy"},
        "rarest": "Rust", "lines": ["Opening.", "One & two."],
        "choice": {"name": "plain", "why": "plain: it is simple"}, "method": ["How."],
        "cells": [12, 12], "classes": [{"name": "Rust", "images": 9, "groups": 3}],
        "rows": rows, "curve": None, **changes,
    }  # fmt: skip


def page(folder, **changes):
    (folder / "verdict.json").write_text(json.dumps(facts(**changes)))
    return write_verdict(folder).read_text()


def test_the_page_is_self_contained_and_runs_nothing(tmp_path):
    text = page(tmp_path)
    assert "default-src 'none'" in html.unescape(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<img" not in text
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert "One &amp; two." in text
    assert "+6.1 (+2.0 to +10.3)" in text


def test_every_link_leads_to_a_section(tmp_path):
    text = page(tmp_path)
    for target in re.findall(r'href="#(\w+)"', text):
        assert f'id="{target}"' in text


def test_an_unfinished_study_chooses_nothing(tmp_path):
    assert "it is simple" in page(tmp_path)
    assert "it is simple" not in page(tmp_path, cells=[11, 12])


def test_dots_lie_where_their_numbers_are():
    drawn = plot(facts()["rows"], "balanced_accuracy")
    assert [dot["name"] for dot in drawn["dots"]][1] == "worse"
    ticks = {tick["text"]: tick["at"] for tick in drawn["ticks"]}
    unit = (ticks["+10"] - ticks["0"]) / 10
    assert ticks["0"] == drawn["zero"]
    worse = drawn["dots"][1]
    for key, value in (("x", -20), ("low", -31), ("high", -10)):
        assert worse[key] == pytest.approx(drawn["zero"] + value * unit, abs=0.2)
    for dot in drawn["dots"]:
        assert drawn["left"] <= dot["low"] <= dot["x"] <= dot["high"] <= drawn["right"]


@pytest.mark.parametrize("width", [1e-4, 0.003, 0.04, 0.3, 1.0])
def test_a_plot_has_a_few_ticks_around_every_width(width):
    rows = [row("a", width / 2, 0.0, width), row("b", -width / 2, -width, 0.0)]
    drawn = plot(rows, "balanced_accuracy")
    assert 2 <= len(drawn["ticks"]) <= 11


def test_nothing_to_compare_is_no_plot(tmp_path):
    assert plot([row("plain", 0.0)], "balanced_accuracy") is None
    nan = float("nan")
    assert plot([row("a", nan, nan, nan)], "balanced_accuracy") is None
    assert "<svg" not in page(tmp_path, rows=[row("plain", 0.0)])


def test_damaged_or_missing_facts(tmp_path):
    with pytest.raises(CheckpointError, match="missing"):
        write_verdict(tmp_path)
    (tmp_path / "verdict.json").write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        write_verdict(tmp_path)
