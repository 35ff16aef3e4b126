"""From pool rows to batches: labelled, weak, strong and evaluation streams.

A batch is a pure function of the step number; prefetching only changes when it
is made, never what it holds.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.data.pool import Pool
from uda.errors import TrainingError, UsageError

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
AnyPolicy = Policy | PythonPolicy


class Sampler(Protocol):
    """Anything that names the images of a step as a pure function of it."""

    batch: int

    def indices(self, step: int) -> Int64:
        """Return (batch,) indices."""
        ...


@dataclass
class Batch:
    """What one step sees; images are uint8 (B, K, H, W) laid out channels last.

    Attributes:
        labeled: (B, K, H, W) views of labelled images.
        targets: (B,) int64 classes.
        weak: (U, K, H, W) weak views of unlabelled images, or None.
        strong: (U, K, H, W) strong views of the same images, or None.
        labeled_index: (B,) int64 pool rows.
        unlabeled_index: (U,) int64 pool rows, or None.
    """

    labeled: torch.Tensor
    targets: torch.Tensor
    weak: torch.Tensor | None
    strong: torch.Tensor | None
    labeled_index: torch.Tensor
    unlabeled_index: torch.Tensor | None


def to_tensor(images: UInt8) -> torch.Tensor:
    """View uint8 (N, H, W, K) memory as an (N, K, H, W) tensor without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class TrainStream:
    """Step number -> Batch.

    The counter of slot j at step t is ``t * batch + j`` and the stream's name is
    the view, so an image drawn twice in one batch gets two different views.

    Attributes:
        images: (N, H, W, K) uint8, usually ``pool.images``.
        labeled_rows: (n,) pool rows of the labelled images.
        labeled_targets: (n,) their classes.
        labeled_sampler: indices into ``labeled_rows``.
        labeled_policy: view of labelled images.
        unlabeled_rows: (m,) pool rows of the unlabelled images.
        unlabeled_sampler: indices into ``unlabeled_rows``; None = supervised.
        weak: policy of the view that makes targets.
        strong: policy of the view that has to agree.
        seed: the run's seed.
        fill: (K,) uint8 colour of uncovered pixels.
    """

    images: UInt8
    labeled_rows: Int64
    labeled_targets: Int64
    labeled_sampler: Sampler
    labeled_policy: AnyPolicy
    seed: int
    fill: UInt8
    unlabeled_rows: Int64 | None = None
    unlabeled_sampler: Sampler | None = None
    weak: AnyPolicy | None = None
    strong: AnyPolicy | None = None

    def __post_init__(self) -> None:
        """Refuse half an unlabelled stream."""
        parts = (self.unlabeled_rows, self.unlabeled_sampler, self.weak, self.strong)
        given = [part is not None for part in parts]
        if any(given[1:]) and not all(given):
            raise UsageError(
                "an unlabelled stream needs rows, a sampler, a weak and a strong "
                "policy together"
            )

    def __call__(self, step: int) -> Batch:
        """Return the batch of one step."""
        picked = self.labeled_sampler.indices(step)
        rows = self.labeled_rows[picked]
        labeled = self._view("labeled", self.labeled_policy, rows, step)
        weak = strong = index = None
        if self.unlabeled_sampler is not None and self.unlabeled_rows is not None:
            assert self.weak is not None and self.strong is not None  # noqa: PT018
            unlabeled = self.unlabeled_rows[self.unlabeled_sampler.indices(step)]
            weak = self._view("weak", self.weak, unlabeled, step)
            strong = self._view("strong", self.strong, unlabeled, step)
            index = torch.from_numpy(unlabeled)
        return Batch(
            labeled=labeled,
            targets=torch.from_numpy(self.labeled_targets[picked]),
            weak=weak,
            strong=strong,
            labeled_index=torch.from_numpy(rows),
            unlabeled_index=index,
        )

    @property
    def policies(self) -> tuple[AnyPolicy, ...]:
        """The policies in use."""
        chosen = (self.labeled_policy, self.weak, self.strong)
        return tuple(policy for policy in chosen if policy is not None)

    def _view(
        self, stream: str, policy: AnyPolicy, rows: Int64, step: int
    ) -> torch.Tensor:
        counters = step * rows.size + np.arange(rows.size, dtype=np.int64)
        views = render(
            policy,
            np.ascontiguousarray(self.images[rows]),
            seed=self.seed,
            stream=stream,
            counters=counters,
            fill=self.fill,
        )
        return to_tensor(views)

    def __getstate__(self) -> dict[str, Any]:
        """Send a memory map to another process by name, not by content."""
        state = dict(self.__dict__)
        images = self.images
        if isinstance(images, np.memmap) and images.filename is not None:
            state["images"] = _MappedFile(
                str(images.filename), images.shape, int(images.offset)
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the memory map again."""
        if isinstance(state["images"], _MappedFile):
            state = {**state, "images": state["images"].open()}
        self.__dict__.update(state)


@dataclass(frozen=True)
class _MappedFile:
    """Where the pixels of a memory map lie."""

    path: str
    shape: tuple[int, ...]
    offset: int

    def open(self) -> UInt8:
        return np.memmap(
            self.path, dtype=np.uint8, mode="r", shape=self.shape, offset=self.offset
        )


class Prefetcher:
    """Batches of steps ``start`` to ``stop - 1``, made ahead of the consumer.

    Attributes:
        waited: seconds the consumer waited for the latest batch.
        waited_total: seconds it waited for all of them.
    """

    def __init__(self, source: _Source) -> None:
        self.waited = 0.0
        self.waited_total = 0.0
        self._source: _Source | None = source

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Batch:
        if self._source is None:
            raise StopIteration
        begin = time.perf_counter()
        try:
            batch = self._source.get()
        except BaseException:
            self.close()
            raise
        self.waited = time.perf_counter() - begin
        self.waited_total += self.waited
        return batch

    def close(self) -> None:
        """Stop the background work and wait until it has ended."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def prefetch(
    stream: TrainStream, start: int, stop: int, *, depth: int = 2, workers: int = 0
) -> Prefetcher:
    """Make the batches of steps [start, stop) ahead of the training loop.

    Native policies release the interpreter lock and run in ``max(1, workers)``
    threads. Python policies hold it and run in ``workers`` processes, or, with
    0, in the consumer's own thread. The batches are the same in every case.

    Args:
        stream: step -> Batch.
        start: first step.
        stop: the step after the last.
        depth: batches made ahead (per process for Python policies).
        workers: threads or processes.

    Returns:
        an iterator with ``.waited`` and ``.close()``; an exception raised while a
        batch is made is raised again by ``next`` with its own type.

    Raises:
        UsageError: for a negative count of workers or a depth below 1.
    """
    if depth < 1 or workers < 0:
        raise UsageError(
            f"prefetch depth {depth}, workers {workers}: needs a depth of 1 or more "
            "and workers of 0 or more"
        )
    if not any(isinstance(policy, PythonPolicy) for policy in stream.policies):
        return Prefetcher(_Threads(stream, start, stop, depth, max(1, workers)))
    if workers == 0:
        return Prefetcher(_Here(stream, start, stop))
    return Prefetcher(_Processes(stream, start, stop, depth, workers))


class _Source(Protocol):
    def get(self) -> Batch: ...

    def close(self) -> None: ...


class _Here:
    """The consumer's own thread: Python policies without workers."""

    def __init__(self, stream: TrainStream, start: int, stop: int) -> None:
        self._stream = stream
        self._steps = iter(range(start, stop))

    def get(self) -> Batch:
        return self._stream(next(self._steps))

    def close(self) -> None:
        self._steps = iter(range(0))


class _Threads:
    """Futures in step order; each thread makes whole batches."""

    def __init__(
        self, stream: TrainStream, start: int, stop: int, depth: int, threads: int
    ) -> None:
        self._stream = stream
        self._steps = iter(range(start, stop))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="uda-batch")
        self._ahead: deque[Future[Batch]] = deque()
        for _ in range(max(depth, threads)):
            self._submit()

    def _submit(self) -> None:
        step = next(self._steps, None)
        if step is not None:
            self._ahead.append(self._pool.submit(self._stream, step))

    def get(self) -> Batch:
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.popleft().result()
        self._submit()
        return batch

    def close(self) -> None:
        self._ahead.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Processes:
    """Worker processes of a DataLoader, one step per item."""

    def __init__(
        self, stream: TrainStream, start: int, stop: int, depth: int, workers: int
    ) -> None:
        loader = DataLoader(
            _StepDataset(stream),  # type: ignore[arg-type]
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            prefetch_factor=depth,
            # The loader draws a seed that nobody uses; not from the global one.
            generator=torch.Generator(),
        )
        self._iterator: Iterator[Batch | _Failure] | None = iter(loader)

    def get(self) -> Batch:
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
        # Dropping the last reference makes the loader stop its processes.
        self._iterator = None


@dataclass(frozen=True)
class _Failure:
    """An exception on its way home, so that it keeps type and message."""

    error: BaseException


@dataclass(frozen=True)
class _StepDataset:
    """A map-style data set whose items are whole batches."""

    stream: TrainStream

    def __getitem__(self, step: int) -> Batch | _Failure:
        try:
            return self.stream(step)
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


def evaluation_batches(
    pool: Pool, rows: npt.ArrayLike, batch: int
) -> Iterator[tuple[torch.Tensor, Int64]]:
    """Yield images without augmentation, in the given order.

    Args:
        pool: where the pixels are.
        rows: (N,) pool rows.
        batch: images per item; the last one may be smaller.

    Yields:
        uint8 (B, K, H, W) channels-last tensor and its (B,) rows.
    """
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    for begin in range(0, wanted.size, batch):
        part = wanted[begin : begin + batch]
        yield to_tensor(np.ascontiguousarray(pool.images[part])), part
