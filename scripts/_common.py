"""What the suites of scripts/results share: commands, jobs, and the page's tables."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "results.md"
Row = dict[str, Any]


def uda(*words: str, log: Path) -> None:
    """Run one command of the CLI on one core, its output into a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("a") as stream:
        subprocess.run(
            [sys.executable, "-m", "uda", *words],
            check=True, stdout=stream, stderr=stream, env=environment,
        )  # fmt: skip


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file of rows."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_between(name: str, page: Path | None = None) -> list[str]:
    """Return the lines between the page's markers of that name."""
    return _around(name, page or PAGE)[1].splitlines()


def write_between(name: str, lines: Iterable[str], page: Path | None = None) -> None:
    """Replace what stands between the page's markers of that name."""
    page = page or PAGE
    head, _, tail = _around(name, page)
    page.write_text(f"{head}\n" + "\n".join(lines) + f"\n{tail}")


def _around(name: str, page: Path) -> tuple[str, str, str]:
    """Return a page up to a marker, what follows, and from the second marker on."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = page.read_text()
    if begin not in text or end not in text:
        raise SystemExit(f"{page}: has no lines {begin} and {end}")
    head, _, rest = text.partition(begin)
    inner, _, tail = rest.partition(end)
    return head + begin, inner, end + tail


def shown(row: Mapping[str, Any], key: str, digits: int) -> str:
    """Format a number that may be absent."""
    value = row.get(key)
    return "–" if value is None else f"{value:.{digits}f}"
