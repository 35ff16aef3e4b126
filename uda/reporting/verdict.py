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

_WIDTH, _LEFT, _RIGHT = 544, 170, 20
_TOP, _ROW, _BOTTOM = 14, 28, 46
_LONGEST = 28  # characters of a name beside the plot
_STEPS = (1, 2, 5, 10, 20, 50)
_COLOURS = {"gain": 2, "loss": 4, "unclear": 7}


def write_verdict(study: Path, out: Path | None = None) -> Path:
    """Write the page, ``verdict.html`` in the study's folder if not told otherwise.

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
    path = study / "verdict.html" if out is None else out
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
        "choice": facts["choice"]["why"] if _decided(facts) else None,
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


def _decided(facts: Mapping[str, Any]) -> bool:
    """Tell whether all cells are there, and a choice could be made."""
    done, total = facts["cells"]
    return facts["curve"] is None and done == total and facts["choice"] is not None


def plot(rows: list[dict[str, Any]], measure: str) -> dict[str, Any] | None:
    """Return a dot plot of the differences in one measure, highest first.

    Returns:
        Numbers of an SVG drawing in pixels; None where nothing is compared.
    """
    shown = [row for row in rows if measure in row["gaps"]]
    shown.sort(key=lambda row: -row["gaps"][measure]["value"])
    gaps = [row["gaps"][measure] for row in shown]
    ends = [100 * end for gap in gaps for end in (*gap["interval"], gap["value"])]
    if not ends or any(math.isnan(end) for end in ends):
        return None
    ticks = _ticks(min(0.0, *ends), max(0.0, *ends))

    def at(value: float) -> float:
        share = (100 * value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    dots = [
        {
            "name": _short(row["name"]),
            "y": _TOP + _ROW * place + _ROW // 2,
            "x": at(gap["value"]),
            "low": at(gap["interval"][0]),
            "high": at(gap["interval"][1]),
            "colour": _COLOURS[row["standing"]],
            "text": f"{row['name']}: {_between(gap)}",
        }
        for place, (row, gap) in enumerate(zip(shown, gaps, strict=True))
    ]
    bottom = _TOP + _ROW * len(shown)
    return {
        "width": _WIDTH,
        "height": bottom + _BOTTOM,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "top": _TOP,
        "bottom": bottom,
        "zero": at(0.0),
        "ticks": [
            {"at": at(tick / 100), "text": _signed(tick / 100, digits=0)}
            for tick in ticks
        ],
        "dots": dots,
        "alt": "Differences with intervals. " + "; ".join(str(d["text"]) for d in dots),
    }


def _ticks(low: float, high: float) -> range:
    """Return round numbers, a few, from below ``low`` to above ``high``."""
    step = next((s for s in _STEPS if (high - low) / s <= 8), 100)
    first = step * math.floor(low / step)
    last = max(step * math.ceil(high / step), first + step)
    return range(first, last + 1, step)


def _between(gap: Mapping[str, Any]) -> str:
    low, high = gap["interval"]
    return f"{_signed(gap['value'])} ({_signed(low)} to {_signed(high)})"


def _row(row: Mapping[str, Any], measures: list[str]) -> dict[str, Any]:
    cells = []
    for name in measures:
        value, gap = row["values"].get(name), row["gaps"].get(name)
        between = "" if gap is None else _between(gap)
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
