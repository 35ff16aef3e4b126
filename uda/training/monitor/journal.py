"""The run's durable records: metrics.jsonl and results.csv, cut back on resume.

A kill may leave half a line; a resumed run writes the last steps again. Both
are dropped when the files are opened, so each step stands there once.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uda.files import atomic_write, spreadsheet_safe
from uda.run.layout import read_metrics


class JsonLines:
    """One JSON object per line, each with ``step`` and ``time`` (seconds)."""

    def __init__(self, path: Path, *, start_step: int) -> None:
        """Keep the whole lines of steps before ``start_step``, then append."""
        self.path = Path(path)
        kept = [row for row in read_metrics(self.path) if row["step"] < start_step]
        self.last_time = max((float(row.get("time") or 0) for row in kept), default=0.0)
        self.last_values: dict[str, float] = {}
        for row in kept:
            self.last_values |= {
                key: float(value)
                for key, value in row.items()
                if "/" in key and isinstance(value, int | float)
            }
        if self.path.exists():
            atomic_write(self.path, "".join(_line(row) for row in kept))
        # Line buffering: a kill loses at most the line being written.
        self._stream = self.path.open("a", encoding="utf-8", buffering=1)

    def write(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Append one line; NaN and infinities become null, which JSON has."""
        row = {"step": int(step), "time": round(time, 3)}
        self._stream.write(_line(row | {k: _finite(v) for k, v in values.items()}))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._stream.close()


class CsvRows:
    """A CSV file with fixed columns, the first of which is ``step``."""

    def __init__(self, path: Path, columns: Sequence[str], *, start_step: int) -> None:
        """Keep the whole rows of steps before ``start_step``, then append."""
        self.path = Path(path)
        self.columns = tuple(columns)
        kept = _read_rows(self.path, start_step)
        text = _csv_line(self.columns)
        for row in kept:
            text += _csv_line([row.get(name) or "" for name in self.columns])
        atomic_write(self.path, text)

    def write(self, values: Mapping[str, object]) -> None:
        """Append one row; absent values and NaN are empty cells."""
        cells = [_cell(values.get(name)) for name in self.columns]
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_csv_line(cells))


def _read_rows(path: Path, start_step: int) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    # A row without its line end was cut by a kill: its last cell may be short.
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    return [row for row in reader if _before(row.get("step"), start_step)]


def _before(step: object, start_step: int) -> bool:
    try:
        return int(str(step)) < start_step
    except ValueError:
        return False


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _csv_line(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(map(spreadsheet_safe, cells))
    return buffer.getvalue()
