"""Items made ahead of their consumer: in its thread, in threads or in processes.

An item is a pure function of the step number, so where it is made cannot matter.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader

from uda.errors import TrainingError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """Where a prefetcher gets its items from."""

    def get(self) -> T_co:
        """Return the next item; StopIteration after the last one."""
        ...

    def close(self) -> None:
        """Stop all work and wait until it has ended."""
        ...


class Prefetcher(Generic[T]):
    """Items of consecutive steps, made ahead of the consumer.

    Attributes:
        waited: seconds the consumer waited for the latest item.
        waited_total: seconds it waited for all of them.
    """

    def __init__(
        self,
        source: Source[T],
        *,
        stalled: Callable[[float], None] | None = None,
        patience: float = 60.0,
    ) -> None:
        """Take items from ``source``.

        Args:
            source: where they come from.
            stalled: called once, from a thread of its own, when an item has been
                waited for longer than ``patience``; it gets that number.
            patience: seconds.
        """
        self.waited = 0.0
        self.waited_total = 0.0
        self._source: Source[T] | None = source
        self._stalled = stalled
        self._patience = patience

    def __iter__(self) -> Prefetcher[T]:
        return self

    def __next__(self) -> T:
        if self._source is None:
            raise StopIteration
        begin = time.perf_counter()
        try:
            with self._watched():
                item = self._source.get()
        except BaseException:
            self.close()
            raise
        self.waited = time.perf_counter() - begin
        self.waited_total += self.waited
        return item

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell about a source that does not answer; a hanging plug-in is silent."""
        if self._stalled is None:
            yield
            return
        timer = threading.Timer(self._patience, self._tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell(self) -> None:
        tell, self._stalled = self._stalled, None
        if tell is not None:
            tell(self._patience)

    def close(self) -> None:
        """Stop the background work and wait until it has ended."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Here(Generic[T]):
    """The consumer's own thread: Python policies without workers."""

    def __init__(self, make: Callable[[int], T], start: int, stop: int) -> None:
        self._make = make
        self._steps = iter(range(start, stop))

    def get(self) -> T:
        """Return the next item."""
        return self._make(next(self._steps))

    def close(self) -> None:
        """Stop all work and wait until it has ended."""
        self._steps = iter(range(0))


class Threads(Generic[T]):
    """Futures in step order; each thread makes whole items."""

    def __init__(
        self, make: Callable[[int], T], start: int, stop: int, depth: int, threads: int
    ) -> None:
        self._make = make
        self._steps = iter(range(start, stop))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="uda-batch")
        self._ahead: deque[Future[T]] = deque()
        for _ in range(max(depth, threads)):
            self._submit()

    def _submit(self) -> None:
        step = next(self._steps, None)
        if step is not None:
            self._ahead.append(self._pool.submit(self._make, step))

    def get(self) -> T:
        """Return the next item."""
        if not self._ahead:
            raise StopIteration
        item = self._ahead.popleft().result()
        self._submit()
        return item

    def close(self) -> None:
        """Stop all work and wait until it has ended."""
        self._ahead.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)


class Processes(Generic[T]):
    """Worker processes of a DataLoader, one step per item."""

    def __init__(
        self, make: Callable[[int], T], start: int, stop: int, depth: int, workers: int
    ) -> None:
        loader: DataLoader[Any] = DataLoader(
            _StepDataset(make),  # type: ignore[arg-type]
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            prefetch_factor=depth,
            # The loader draws a seed that nobody uses; not from the global one.
            generator=torch.Generator(),
            worker_init_fn=_begin_worker,
        )
        self._iterator: Iterator[T | _Failure] | None = iter(loader)

    def get(self) -> T:
        """Return the next item."""
        if self._iterator is None:
            raise StopIteration
        try:
            item = next(self._iterator)
        except RuntimeError as error:
            raise TrainingError(
                f"a data worker process died ({error}); try fewer --workers"
            ) from error
        if isinstance(item, _Failure):
            raise item.error
        return item

    def close(self) -> None:
        """Stop all work and wait until it has ended."""
        # Dropping the last reference makes the loader stop its processes.
        self._iterator = None


def _begin_worker(_: int) -> None:
    """Leave signals to the trainer, and do not outlive it."""
    # A Ctrl-C reaches the whole group, but the trainer still needs its batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has gone; a plug-in may hang for ever."""
    while os.getppid() == parent:
        time.sleep(2.0)
    os._exit(1)


@dataclass(frozen=True)
class _Failure:
    """An exception on its way home, so that it keeps type and message."""

    error: BaseException


@dataclass(frozen=True)
class _StepDataset(Generic[T]):
    """A map-style data set over step numbers."""

    make: Callable[[int], T]

    def __getitem__(self, step: int) -> T | _Failure:
        try:
            return self.make(step)
        except Exception as error:
            return _Failure(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error itself where it survives pickling, else its text."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # pickling runs foreign code: anything can happen
        pass
    return TrainingError(f"{type(error).__name__}: {error}")
