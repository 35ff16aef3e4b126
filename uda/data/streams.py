"""From pool rows to batches: labelled, weak, strong and evaluation streams.

A batch is a pure function of the step number; prefetching only changes when it
is made, never what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.data.prefetching import Here, Prefetcher, Processes, Threads
from uda.errors import UsageError

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
        labeled_stream: name of that view's random stream.
        unlabeled_rows: (m,) pool rows of the unlabelled images.
        unlabeled_sampler: indices into ``unlabeled_rows``; None = supervised.
        weak: policy of the view that makes targets.
        strong: policy of the view that has to agree.
        seed: the run's seed.
        fill: (K,) uint8 colour of uncovered pixels.
        unlabeled_start: first step with unlabelled views; those before it cost
            and return labelled ones alone.
        later: (first step, images) of the sizes that follow ``images``, in order;
            the same rows.
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
    unlabeled_start: int = 0
    later: tuple[tuple[int, UInt8], ...] = ()
    labeled_stream: str = "labeled"

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
        labeled = self._view(self.labeled_stream, self.labeled_policy, rows, step)
        weak = strong = index = None
        unlabeled = self._unlabeled(step)
        if unlabeled is not None and self.weak and self.strong:
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

    def _unlabeled(self, step: int) -> Int64 | None:
        """Pool rows of the unlabelled images of a step, if it has any."""
        if self.unlabeled_sampler is None or self.unlabeled_rows is None:
            return None
        if step < self.unlabeled_start:
            return None
        return self.unlabeled_rows[self.unlabeled_sampler.indices(step)]

    def labeled_only(self) -> TrainStream:
        """Return the same stream without unlabelled images."""
        return replace(
            self, unlabeled_rows=None, unlabeled_sampler=None, weak=None, strong=None
        )

    @property
    def policies(self) -> tuple[AnyPolicy, ...]:
        """The policies in use."""
        chosen = (self.labeled_policy, self.weak, self.strong)
        return tuple(policy for policy in chosen if policy is not None)

    @property
    def python_policies(self) -> tuple[PythonPolicy, ...]:
        """Those policies in use that run a user's code, each once."""
        chosen = {p.path: p for p in self.policies if isinstance(p, PythonPolicy)}
        return tuple(chosen.values())

    def _images(self, step: int) -> UInt8:
        """Return the images that a step looks at."""
        begun = [images for first, images in self.later if first <= step]
        return begun[-1] if begun else self.images

    def _view(
        self, stream: str, policy: AnyPolicy, rows: Int64, step: int
    ) -> torch.Tensor:
        counters = step * rows.size + np.arange(rows.size, dtype=np.int64)
        views = render(
            policy,
            np.ascontiguousarray(self._images(step)[rows]),
            seed=self.seed,
            stream=stream,
            counters=counters,
            fill=self.fill,
        )
        return to_tensor(views)

    def __getstate__(self) -> dict[str, Any]:
        """Send a memory map to another process by name, not by content."""
        state = dict(self.__dict__)
        state["images"] = _by_name(self.images)
        state["later"] = [(first, _by_name(images)) for first, images in self.later]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the memory map again."""
        later = tuple((first, _opened(images)) for first, images in state["later"])
        images = _opened(state["images"])
        self.__dict__.update({**state, "images": images, "later": later})


def _by_name(images: UInt8) -> UInt8 | _MappedFile:
    if isinstance(images, np.memmap) and images.filename is not None:
        return _MappedFile(str(images.filename), images.shape, int(images.offset))
    return images


def _opened(images: UInt8 | _MappedFile) -> UInt8:
    return images.open() if isinstance(images, _MappedFile) else images


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


def prefetch(
    stream: TrainStream,
    start: int,
    stop: int,
    *,
    depth: int = 2,
    workers: int = 0,
    stalled: Callable[[float], None] | None = None,
) -> Prefetcher[Batch]:
    """Make the batches of steps [start, stop) ahead of the training loop.

    Native policies release the interpreter lock and run in ``max(1, workers)``
    threads. Python policies hold it and run in ``workers`` processes, or, with
    0, in the consumer's own thread. The batches are the same in every case. Where
    native and Python policies meet, each batch is made whole in one process: the
    native views cost a few hundredths of the Python ones there.

    Args:
        stream: step -> Batch.
        start: first step.
        stop: the step after the last.
        depth: batches made ahead (per process for Python policies).
        workers: threads or processes.
        stalled: told once, with the seconds, when Python policies keep the
            consumer waiting for a minute: one of them may hang.

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
    if not stream.python_policies:
        return Prefetcher(Threads(stream, start, stop, depth, max(1, workers)))
    if workers == 0:
        return Prefetcher(Here(stream, start, stop), stalled=stalled)
    source = Processes(stream, start, stop, depth, workers)
    return Prefetcher(source, stalled=stalled)


def grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Collect ``size`` micro batches for each optimisation step."""
    while True:
        group = []
        for _ in range(size):
            try:
                group.append(next(batches))
            except StopIteration:
                return
        yield group
