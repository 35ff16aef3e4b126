"""Content hashes of image files, remembered so that nothing is read twice.

Also the threads that read files and tell how far they are.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from uda.data.records import Record
from uda.errors import DataError
from uda.files import read_json, sha256_file, write_json

Progress = Callable[[str, int, int], None]
T = TypeVar("T")
R = TypeVar("R")

MEMO_NAME = "hashes.json"

_SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Workers:
    """A number of threads and somebody who wants to know how far they are."""

    threads: int
    progress: Progress | None

    def map(
        self, stage: str, function: Callable[[T], R], items: Sequence[T]
    ) -> list[R]:
        """Apply a function to all items, in order, telling about each."""
        results = []
        executor = ThreadPoolExecutor(self.threads, thread_name_prefix="uda-pool")
        try:
            for result in executor.map(function, items):
                results.append(result)
                if self.progress is not None:
                    self.progress(stage, len(results), len(items))
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        return results


@dataclass(frozen=True)
class _Known:
    """What is remembered of one file: size, times, inode, and its hash."""

    mark: list[Any]
    settled: bool


def content_hashes(
    records: Sequence[Record], cache: Path, workers: Workers
) -> list[str]:
    """SHA-256 of every file, remembered by size and times to save reading.

    The change time (ctime) catches edits that keep size and modification time. A
    file touched within the last seconds is not remembered: another edit could
    fall into the same tick of its clock. A file that cannot be read gets a word
    in place of a hash; decoding will say what is wrong with it.
    """
    memo_file = cache / MEMO_NAME
    memo = _load(memo_file)
    names = [os.path.abspath(record.file) for record in records]  # noqa: PTH100
    found = workers.map("hash", lambda name: _look(name, memo.get(name)), names)
    fresh = {n: k.mark for n, k in zip(names, found, strict=True) if k.settled}
    if any(memo.get(name) != mark for name, mark in fresh.items()):
        write_json(memo_file, {**memo, **fresh})
    return [str(known.mark[4]) for known in found]


def _load(memo_file: Path) -> dict[str, list[Any]]:
    """A memo that is broken is no loss: every file is read again."""
    if not memo_file.is_file():
        return {}
    try:
        return dict(read_json(memo_file))
    except (DataError, TypeError, ValueError):
        return {}


def _look(name: str, known: list[Any] | None) -> _Known:
    path = Path(name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            return _Known([0, 0, 0, 0, "not a file"], settled=False)
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if known is not None and known[:4] == mark and len(known) == 5:
            return _Known(known, settled=True)
        settled = time.time() - status.st_ctime > _SETTLED_SECONDS
        return _Known([*mark, sha256_file(path)], settled)
    except OSError as error:
        return _Known([0, 0, 0, 0, f"unreadable: {error.strerror}"], settled=False)
