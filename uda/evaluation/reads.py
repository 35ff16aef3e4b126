"""Where the results of an evaluation go, and when the test part was read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

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
    return reads if isinstance(reads, list) else []
