"""Where the results of an evaluation go, and when the test part was read."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
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
    write_json(path, [*past_reads(run), {"time": stamp, **facts}])


def past_reads(run: RunFolder) -> list[dict[str, Any]]:
    """Return when the test part was read so far, oldest first."""
    path = run.path / "evaluation" / "reads.json"
    reads = read_json(path) if path.is_file() else []
    reads = reads if isinstance(reads, list) else []
    return [read for read in reads if isinstance(read, dict)]


def reads_beside(run: RunFolder) -> int:
    """Return how often runs in the same folder have read the same test part.

    Who chooses among runs by a test part has used it up, whichever run was asked.
    """
    mark, own = _test_mark(run), run.path.resolve()
    if mark is None:
        return 0
    found = 0
    try:
        beside = [f for f in own.parent.iterdir() if f != own and not f.is_symlink()]
    except OSError:  # somebody else's folder, of which nothing can be told
        return 0
    for folder in beside:
        with suppress(OSError, DataError):  # no run, another's, or damaged: no look
            other = RunFolder(folder)
            reads = past_reads(other)
            same = reads and _test_mark(other) == mark
            found += len(reads) if same else 0
    return found


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
        with suppress(
            DataError, AttributeError, KeyError, TypeError
        ):  # damaged: written anew
            weights = read_json(path)["weights"]
            named = [one.get("good_class") for one in weights.values()]
            if named and named[0] is not None:
                return str(named[0])
    return None
