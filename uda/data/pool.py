"""Decoded, resized uint8 images in one memory map, keyed by content, built once.

A pool is a data file and a JSON side file written after it: without a side file
that fits, the data file counts for nothing and the pool is built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL

from uda.data.images import BadImage, fit, read_image
from uda.data.preprocessing import (
    Mode,
    Preprocessing,
    check_request,
    content_box,
    detect_channels,
    detect_value_range,
    evenly,
)
from uda.data.records import Record
from uda.errors import DataError
from uda.files import atomic_path, read_json, sha256_file, write_csv, write_json

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]
T = TypeVar("T")
R = TypeVar("R")

# Raise this when read_image or fit give other pixels than before.
RESIZER = "1"
MAX_BAD_SHARE = 0.05

_STATISTICS_ROWS = 2000
_STATISTICS_CHUNK = 64
_SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Pool:
    """Images as rows of one read-only memory map, sorted by path.

    Attributes:
        images: (N, H, W, K) uint8, read-only.
        records: N records; ``records[i]`` is row i.
        skipped: (path, reason) of files that are no usable images.
        preprocessing: how a file became a row, with mean and std.
        key: SHA-256 of contents and settings.
    """

    images: UInt8
    records: tuple[Record, ...]
    skipped: list[tuple[str, str]]
    preprocessing: Preprocessing
    key: str = field(repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def index(self) -> dict[str, int]:
        """Path of a record -> its row."""
        return {record.path: row for row, record in enumerate(self.records)}

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """(K,) mean in 0..1, bars left out."""
        return np.array(self.preprocessing.mean, dtype=np.float64)

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """(K,) standard deviation in 0..1, bars left out."""
        return np.array(self.preprocessing.std, dtype=np.float64)

    @property
    def fill(self) -> UInt8:
        """(K,) uint8 mean colour."""
        return np.array(self.preprocessing.fill, dtype=np.uint8)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """(low, high) of 16-bit images, or None."""
        return self.preprocessing.value_range

    def subset(self, paths: Iterable[str]) -> Int64:
        """Return the rows of some paths, in their order.

        Skipped images have no row and are left out.

        Raises:
            DataError: for a path that the pool never saw.
        """
        skipped = {path for path, _ in self.skipped}
        rows = []
        for path in paths:
            if path in self.index:
                rows.append(self.index[path])
            elif path not in skipped:
                raise DataError(
                    f"{path!r}: not among the pool's images; scan the data folder "
                    "again or correct the split"
                )
        return np.array(rows, dtype=np.int64)


def write_skipped(pool: Pool, path: Path) -> None:
    """Write the skipped files and reasons as a CSV table."""
    write_csv(path, ("path", "reason"), pool.skipped)


def build_pool(
    records: Sequence[Record],
    *,
    size: tuple[int, int],
    channels: int | None = None,
    mode: Mode = "letterbox",
    value_range: tuple[float, float] | None = None,
    cache: Path,
    threads: int = 1,
    progress: Progress | None = None,
) -> Pool:
    """Open the pool of these images, building it where it does not exist yet.

    Files that cannot be read are listed in ``pool.skipped`` and get no row. More
    than 5 % of them is an error; fewer than 20 images may hold one.

    Args:
        records: images; the order does not matter.
        size: (H, W) in pixels.
        channels: 1, 3, or None = 1 if all images of a sample are grey.
        mode: ``"letterbox"`` or ``"squash"``.
        value_range: of 16-bit images; None = smallest and largest of the data set.
        cache: folder for pools; it may be deleted at any time no command runs.
        threads: files decoded at a time.
        progress: called as ``progress(stage, done, total)``.

    Raises:
        DataError: no images, too many bad ones, or a cache that cannot be written.
    """
    check_request(size, channels, mode, value_range)
    ordered = _ordered(records)
    cache = Path(cache)
    plan = Preprocessing(size, channels or 0, mode, value_range, (), ())
    workers = _Workers(max(1, threads), progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        key = _key(ordered, _content_hashes(ordered, cache, workers), plan)
        store = _Store(cache, key)
        pool = store.open(ordered)
        if pool is None:
            with store.lock():
                pool = store.open(ordered) or _build(ordered, plan, store, workers)
    except OSError as error:
        raise DataError(
            f"{cache}: the image pool cannot be written ({error}); free some space or "
            "choose another cache folder"
        ) from error
    return pool


def _ordered(records: Sequence[Record]) -> tuple[Record, ...]:
    if not records:
        raise DataError("there are no images to read; check the data folder")
    ordered = tuple(sorted(records, key=lambda record: record.path))
    for one, two in zip(ordered, ordered[1:], strict=False):
        if one.path == two.path:
            raise DataError(f"{one.path!r}: listed twice; each image needs one record")
    return ordered


@dataclass(frozen=True)
class _Workers:
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


def _content_hashes(
    records: Sequence[Record], cache: Path, workers: _Workers
) -> list[str]:
    """SHA-256 of every file, remembered by size and times to save reading.

    The change time (ctime) catches edits that keep size and modification time. A
    file touched within the last seconds is not remembered: another edit could
    fall into the same tick of its clock.
    """
    memo_file = cache / "hashes.json"
    memo: dict[str, list[Any]] = {}
    if memo_file.is_file():
        try:
            memo = dict(read_json(memo_file))
        except (DataError, TypeError, ValueError):
            memo = {}

    def digest(record: Record) -> tuple[str, list[Any], bool]:
        path = record.file
        try:
            stat = path.stat()
            mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            known = memo.get(str(path))
            if known is not None and known[:4] == mark:
                return str(path), known, True
            settled = time.time() - stat.st_ctime > _SETTLED_SECONDS
            return str(path), [*mark, sha256_file(path)], settled
        except OSError as error:
            return str(path), [0, 0, 0, 0, f"unreadable: {error.strerror}"], False

    found = workers.map("hash", digest, records)
    fresh = {name: mark for name, mark, settled in found if settled}
    if any(memo.get(name) != mark for name, mark in fresh.items()):
        write_json(memo_file, {**memo, **fresh})
    return [str(mark[4]) for _, mark, _ in found]


def _key(records: Sequence[Record], hashes: list[str], plan: Preprocessing) -> str:
    value = {
        "files": [[r.path, h] for r, h in zip(records, hashes, strict=True)],
        "plan": plan.to_json(),
        "resizer": [RESIZER, PIL.__version__],
    }
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@dataclass(frozen=True)
class _Store:
    """The two files of one pool and its lock."""

    cache: Path
    key: str

    @property
    def data(self) -> Path:
        return self.cache / f"pool-{self.key[:24]}.u8"

    @property
    def side(self) -> Path:
        return self.data.with_suffix(".json")

    def open(self, records: Sequence[Record]) -> Pool | None:
        """Open a finished pool; None when there is none or it does not fit."""
        if not (self.side.is_file() and self.data.is_file()):
            return None
        try:
            side = read_json(self.side)
            skipped = [(str(path), str(reason)) for path, reason in side["skipped"]]
            preprocessing = Preprocessing.from_json(side["preprocessing"])
            same = side["key"] == self.key
        except (DataError, KeyError, TypeError, ValueError):
            return None
        bad = {path for path, _ in skipped}
        kept = tuple(record for record in records if record.path not in bad)
        shape = (len(kept), *preprocessing.size, preprocessing.channels)
        if not same or self.data.stat().st_size != int(np.prod(shape)):
            return None
        images = np.memmap(self.data, dtype=np.uint8, mode="r", shape=shape)
        return Pool(images, kept, skipped, preprocessing, self.key)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process builds this pool, and clear its remains.

        Where a file system has no locks, two builders work side by side; each
        renames a whole file of the same content, so the last one wins unharmed.
        """
        with self.data.with_suffix(".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX)
            except OSError:
                yield
                return
            for remains in self.cache.glob(f".{self.data.stem}.*.tmp"):
                remains.unlink(missing_ok=True)
            yield


def _build(
    records: tuple[Record, ...], plan: Preprocessing, store: _Store, workers: _Workers
) -> Pool:
    files = [record.file for record in records]
    span = plan.value_range or detect_value_range(files)
    channels = plan.channels or detect_channels(files)
    plan = replace(plan, channels=channels, value_range=span)
    shape = (len(files), *plan.size, channels)
    with atomic_path(store.data) as temporary:
        _reserve(temporary, int(np.prod(shape)))
        rows = np.memmap(temporary, dtype=np.uint8, mode="r+", shape=shape)
        decoder = _Decoder(files, plan, rows)
        outcomes = workers.map("decode", decoder, range(len(files)))
        reasons = [outcome if isinstance(outcome, str) else "" for outcome in outcomes]
        skipped = [
            (r.path, why) for r, why in zip(records, reasons, strict=True) if why
        ]
        _check_share(skipped, len(records))
        boxes = [outcome for outcome in outcomes if not isinstance(outcome, str)]
        count = _close_gaps(rows, reasons)
        mean, std = _statistics(rows[:count], boxes)
        plan = replace(plan, mean=mean, std=std)
        _paint_bars(rows, boxes, plan.fill)
        rows.flush()
        del rows, decoder
        os.truncate(temporary, count * int(np.prod(shape[1:])))
    side = {"key": store.key, "preprocessing": plan.to_json(), "skipped": skipped}
    write_json(store.side, side)
    pool = store.open(records)
    if pool is None:
        raise DataError(
            f"{store.data}: was changed by another program while it was written; "
            "run again or choose another cache folder"
        )
    return pool


def _reserve(path: Path, size: int) -> None:
    """Claim the space first: a full disk under a memory map would be a crash."""
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)


Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Decoder:
    """Index -> decodes one file into its row; gives its box or a reason."""

    files: Sequence[Path]
    plan: Preprocessing
    rows: UInt8

    def __call__(self, i: int) -> Box | str:
        plan = self.plan
        try:
            image = read_image(
                self.files[i],
                channels=1 if plan.channels == 1 else 3,
                value_range=plan.value_range,
            )
        except BadImage as error:
            return error.reason or "unknown"
        except OSError as error:
            return error.strerror or str(error) or "cannot be read"
        black = (0,) * plan.channels
        self.rows[i] = fit(image, plan.size, mode=plan.mode, fill=black)
        return content_box(image.shape[:2], plan.size, plan.mode)


def _check_share(skipped: list[tuple[str, str]], total: int) -> None:
    allowed = max(1, int(MAX_BAD_SHARE * total))
    if len(skipped) <= allowed and len(skipped) < total:
        return
    listed = "".join(f"\n  {path!r}: {reason}" for path, reason in skipped[:10])
    more = f"\n  and {len(skipped) - 10} more" if len(skipped) > 10 else ""
    raise DataError(
        f"{len(skipped)} of {total} images cannot be used, more than the "
        f"{MAX_BAD_SHARE:.0%} (or the one image) that may be skipped; repair them or "
        f"take them out:{listed}{more}"
    )


def _close_gaps(rows: UInt8, reasons: list[str]) -> int:
    """Move the good rows together and return their number."""
    good = [i for i, reason in enumerate(reasons) if not reason]
    for target, source in enumerate(good):
        if target != source:
            rows[target] = rows[source]
    return len(good)


def _statistics(
    rows: UInt8, boxes: Sequence[Box]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in 0..1, bars left out.

    Exact integer sums, so the order of additions cannot change the result.
    """
    channels = rows.shape[3]
    values = np.arange(256, dtype=np.int64)
    histogram = np.zeros((channels, 256), dtype=np.int64)
    for row in evenly(len(rows), _STATISTICS_ROWS):
        y0, y1, x0, x1 = boxes[row]
        for channel in range(channels):
            part = rows[row, y0:y1, x0:x1, channel]
            histogram[channel] += np.bincount(part.ravel(), minlength=256)
    total = histogram.sum(axis=1)
    mean = histogram @ values / total
    variance = histogram @ values**2 / total - mean**2
    # A constant image set must not make the model divide by zero.
    std = np.maximum(np.sqrt(np.maximum(variance, 0.0)), 1.0)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def _paint_bars(rows: UInt8, boxes: Sequence[Box], fill: tuple[int, ...]) -> None:
    colour = np.array(fill, dtype=np.uint8)
    for row, (y0, y1, x0, x1) in enumerate(boxes):
        rows[row, :y0] = colour
        rows[row, y1:] = colour
        rows[row, y0:y1, :x0] = colour
        rows[row, y0:y1, x1:] = colour
