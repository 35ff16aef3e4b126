"""Decoded, resized uint8 images in one memory map, keyed by content, built once.

A pool is a data file and a JSON side file written after it: without a side file
that fits, the data file counts for nothing and the pool is built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from uda.data.contents import Progress, Workers, content_hashes
from uda.data.decoding import Decoder, close_gaps, paint_bars, statistics
from uda.data.preprocessing import (
    Mode,
    Preprocessing,
    check_request,
    detect_channels,
    detect_value_range,
    mixed_depth,
)
from uda.data.records import Record
from uda.errors import DataError, UsageError
from uda.files import atomic_path, lock_file, read_json, write_csv, write_json

__all__ = ["Pool", "Preprocessing", "build_pool", "default_cache", "write_skipped"]

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

# Raise this when read_image or fit give other pixels than before, or refuse others.
RESIZER = "2"
MAX_BAD_SHARE = 0.05


@dataclass(frozen=True)
class Pool:
    """Images as rows of one read-only memory map, sorted by path.

    Attributes:
        images: (N, H, W, K) uint8, read-only.
        records: N records; ``records[i]`` is row i.
        skipped: (path, reason) of files that are no usable images.
        preprocessing: how a file became a row, with mean and std.
        key: SHA-256 of contents and settings.
        notes: what to tell the user of how the images are read.
    """

    images: UInt8
    records: tuple[Record, ...]
    skipped: list[tuple[str, str]]
    preprocessing: Preprocessing
    key: str = field(repr=False)
    notes: tuple[str, ...] = ()

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


def default_cache() -> Path:
    """Return where pools are kept: UDA_CACHE, or the user's cache folder."""
    if named := os.environ.get("UDA_CACHE"):
        return Path(named)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "uda" / "pools"
    try:
        return Path.home() / ".cache" / "uda" / "pools"
    except RuntimeError as error:  # a container's user without a home
        raise UsageError(
            "this user has no home folder to keep decoded images in; name one: "
            "UDA_CACHE=/some/folder"
        ) from error


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
        channels: 1, 3, or None = as the images are (see ``detect_channels``).
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
    workers = Workers(max(1, threads), progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        key = _key(ordered, plan, cache, workers)
        store = _Store(cache, key)
        pool = store.open(ordered)
        if pool is None:
            with store.lock():
                pool = store.open(ordered) or _build(ordered, plan, store, workers)
    except BrokenPipeError:  # whoever watched the progress went away
        raise
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
    for one, two in pairwise(ordered):
        if one.path == two.path:
            raise DataError(f"{one.path!r}: listed twice; each image needs one record")
    return ordered


def _key(
    records: Sequence[Record], plan: Preprocessing, cache: Path, workers: Workers
) -> str:
    """SHA-256 over names, contents and everything that shapes the pixels."""
    hashes = content_hashes(records, cache, workers)
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
            notes = tuple(side["notes"])
            same = side["key"] == self.key
        except (DataError, KeyError, TypeError, ValueError):
            return None
        bad = {path for path, _ in skipped}
        kept = tuple(record for record in records if record.path not in bad)
        shape = (len(kept), *preprocessing.size, preprocessing.channels)
        if not same or self.data.stat().st_size != int(np.prod(shape)):
            return None
        images = np.memmap(self.data, dtype=np.uint8, mode="r", shape=shape)
        return Pool(images, kept, skipped, preprocessing, self.key, notes)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process builds this pool, and clear its remains.

        Where a file system has no locks, two builders work side by side; each
        renames a whole file of the same content, so the last one wins unharmed.
        """
        with self.data.with_suffix(".lock").open("w") as stream:
            if lock_file(stream, fcntl.LOCK_EX):
                for remains in self.cache.glob(f".{self.data.stem}.*.tmp"):
                    remains.unlink(missing_ok=True)
            yield


def _build(
    records: tuple[Record, ...], asked: Preprocessing, store: _Store, workers: Workers
) -> Pool:
    files = [record.file for record in records]
    span = asked.value_range or detect_value_range(files)
    channels, note = (asked.channels, "") if asked.channels else detect_channels(files)
    notes = [words for words in (note, mixed_depth(files)) if words]
    plan = replace(asked, channels=channels, value_range=span)
    shape = (len(files), *plan.size, channels)
    with atomic_path(store.data) as temporary:
        _reserve(temporary, int(np.prod(shape)))
        rows = np.memmap(temporary, dtype=np.uint8, mode="r+", shape=shape)
        decoder = Decoder(files, plan, rows)
        outcomes = workers.map("decode", decoder, range(len(files)))
        reasons = [outcome if isinstance(outcome, str) else "" for outcome in outcomes]
        told = zip(records, reasons, strict=True)
        skipped = [(record.path, why) for record, why in told if why]
        _check_share(skipped, len(records))
        boxes = [outcome for outcome in outcomes if not isinstance(outcome, str)]
        count = close_gaps(rows, reasons)
        mean, std = statistics(rows[:count], boxes)
        plan = replace(plan, mean=mean, std=std)
        paint_bars(rows, boxes, plan.fill)
        rows.flush()
        del rows, decoder
        os.truncate(temporary, count * int(np.prod(shape[1:])))
        if _key(records, asked, store.cache, workers) != store.key:
            raise DataError(
                "image files changed while they were read; run again when nobody "
                "writes to the data folder"
            )
    side = {
        "key": store.key,
        "preprocessing": plan.to_json(),
        "skipped": skipped,
        "notes": notes,
    }
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
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
        else:
            stream.truncate(size)


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
