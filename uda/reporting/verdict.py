"""The page of a study: its verdict, a plot of differences, its table. No images.

Reads verdict.json in the study's folder and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uda.errors import CheckpointError
from uda.files import atomic_write, read_json
from uda.reporting.page import render

_WIDTH, _LEFT, _RIGHT = 720, 200, 20
_TOP, _ROW, _BOTTOM = 14, 28, 46
_LONGEST = 28  # characters of a name beside the plot
_STEPS = (1, 2, 5, 10, 20, 50)
_COLOURS = {"gain": 2, "loss": 4, "unclear": 7}


def write_verdict(study: Path) -> Path:
    """Write ``verdict.html`` into a study's folder.

    Raises:
        CheckpointError: verdict.json is missing or damaged.
    """
    source = study / "verdict.json"
    if not source.is_file():
        raise CheckpointError(f"{source}: missing; run `uda compare {study}`")
    facts = read_json(source)
    try:
        page = render("verdict.html", **page_values(facts))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{source}: damaged ({error!r}); run `uda compare {study}` again"
        ) from error
    path = study / "verdict.html"
    atomic_write(path, page)
    return path


def page_values(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template prints."""
    main = facts["main"]
    rows = facts["rows"]
    return {
        "title": facts["title"],
        "opening": facts["lines"][0],
        "lines": facts["lines"][1:],
        "choice": None if facts["curve"] else facts["choice"]["why"],
        "method": facts["method"],
        "cells": facts["cells"],
        "classes": facts["classes"],
        "rarest": facts["rarest"],
        "reference": facts["reference"],
        "plot": plot(rows, main),
        "measures": list(facts["measures"].values()),
        "rows": [_row(row, list(facts["measures"])) for row in rows],
        "failed": [row for row in rows if row["failed"]],
    }


def plot(rows: list[dict[str, Any]], measure: str) -> dict[str, Any] | None:
    """Return a dot plot of the differences in one measure, highest first.

    Returns:
        Numbers of an SVG drawing in pixels; None where nothing is compared.
    """
    shown = [row for row in rows if measure in row["gaps"]]
    shown.sort(key=lambda row: -row["gaps"][measure]["value"])
    ends = [
        100 * end
        for row in shown
        for end in (*row["gaps"][measure]["interval"], row["gaps"][measure]["value"])
    ]
    if not ends or any(math.isnan(end) for end in ends):
        return None
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = next((s for s in _STEPS if (high - low) / s <= 8), 100)
    low, high = step * math.floor(low / step), step * math.ceil(high / step)
    high = max(high, low + step)

    def at(value: float) -> float:
        share = (value - low) / (high - low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    dots = []
    for place, row in enumerate(shown):
        gap = row["gaps"][measure]
        bounds = [100 * end for end in gap["interval"]]
        dots.append(
            {
                "name": _short(row["name"]),
                "y": _TOP + _ROW * place + _ROW // 2,
                "x": at(100 * gap["value"]),
                "low": at(bounds[0]),
                "high": at(bounds[1]),
                "colour": _COLOURS[row["standing"]],
                "text": f"{row['name']}: {_signed(gap['value'])}, "
                f"{_signed(gap['interval'][0])} to {_signed(gap['interval'][1])}",
            }
        )
    ticks = range(low, high + 1, step)
    bottom = _TOP + _ROW * len(shown)
    return {
        "width": _WIDTH,
        "height": bottom + _BOTTOM,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "top": _TOP,
        "bottom": bottom,
        "zero": at(0.0),
        "ticks": [{"at": at(t), "text": _signed(t / 100, digits=0)} for t in ticks],
        "dots": dots,
        "alt": "Differences with intervals. " + "; ".join(d["text"] for d in dots),
    }


def _row(row: Mapping[str, Any], measures: list[str]) -> dict[str, Any]:
    cells = []
    for name in measures:
        value, gap = row["values"].get(name), row["gaps"].get(name)
        between = ""
        if gap is not None:
            low, high = gap["interval"]
            between = f"{_signed(gap['value'])} ({_signed(low)} to {_signed(high)})"
        cells.append(
            {"value": "–" if value is None else f"{100 * value:.1f}", "gap": between}
        )
    return {
        "name": row["name"],
        "flags": row["flags"],
        "cells": cells,
        "best": "–" if row["best"] is None else f"{row['best']:.0%}",
        "seconds": "–" if row["seconds"] is None else f"{row['seconds']:.0f}",
    }


def _signed(value: float, *, digits: int = 1) -> str:
    text = f"{100 * value:+.{digits}f}".replace("-", "−")
    return text.lstrip("+−") if not text.strip("+−0.") else text


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
