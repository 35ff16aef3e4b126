"""Where the results of an evaluation go, and when the test part was read."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from uda.data.splits import Split
from uda.data.table import encode_name
from uda.errors import DataError
from uda.evaluation.parts import EvaluationSet
from uda.files import read_json, write_json
from uda.run.layout import RunFolder


def result_folder(run: RunFolder, images: EvaluationSet) -> Path:
    """Return where the results go: one folder for what is read, numbered if need be.

    Two folders of one name (``monday/photos``, ``tuesday/photos``) are two results;
    the same one again takes the place of its own.
    """
    base = run.path / "evaluation" / images.name
    number, folder = 1, base
    while (facts := folder / "metrics.json").is_file():
        if _source(facts, images.source) == images.source:
            break
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _source(facts: Path, own: str) -> str:
    """Return what stored results read; ``own`` where they do not say."""
    try:
        stored = read_json(facts)
    except DataError:
        return own
    return str(stored.get("source", own)) if isinstance(stored, dict) else own


def record_read(run: RunFolder, facts: dict[str, Any]) -> None:
    """Note that the test part was read, in ``evaluation/reads.json``."""
    path = run.path / "evaluation" / "reads.json"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    read = {"time": stamp, "test": _test_mark(run), **facts}
    write_json(path, [*past_reads(run), read])


def past_reads(run: RunFolder) -> list[dict[str, Any]]:
    """Return when the test part was read so far, oldest first."""
    path = run.path / "evaluation" / "reads.json"
    reads = read_json(path) if path.is_file() else []
    return reads if isinstance(reads, list) else []


def reads_beside(run: RunFolder) -> int:
    """Return how often runs in the same folder have read the same test part.

    Who chooses among runs by a test part has used it up, whichever run was asked.
    """
    mark = _test_mark(run)
    others = (f for f in run.path.resolve().parent.iterdir() if not f.is_symlink())
    reads = [
        read
        for folder in others
        if folder != run.path.resolve()
        for read in past_reads(RunFolder(folder))
    ]
    return sum(mark is not None and read.get("test") == mark for read in reads)


def _test_mark(run: RunFolder) -> str | None:
    """Return what tells one test part from others; None without a split file."""
    if not run.split.is_file():
        return None
    rows = Split.load(run.split).part("test")
    lines = "\n".join(f"{encode_name(row.path)} {row.sha256}" for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def last_good_class(run: RunFolder) -> str | None:
    """Return the class of good parts that the newest evaluation was asked for."""
    found = sorted(
        (run.path / "evaluation").glob("*/metrics.json"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in found:
        weights = read_json(path).get("weights", {})
        named = [one.get("good_class") for one in weights.values()]
        if named and named[0] is not None:
            return str(named[0])
    return None
