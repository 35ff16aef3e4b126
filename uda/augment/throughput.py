"""How many views per second a policy gives here, against what no policy can beat.

All candidates take turns, round by round: a busy moment of the machine hits them
alike. Times are of the calling thread's clock on the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda.augment import kernels
from uda.augment.plan import draw
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import UsageError

UInt8 = npt.NDArray[np.uint8]

COPY, NORMALIZE = "copy", "normalize"
_FILL = 117


@dataclass(frozen=True)
class Rate:
    """Images per second over the rounds: quartiles and median."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        rates: "copy" (one memory copy), "normalize" (uint8 to normalised float32,
            channels first, by the native executor) and the names of the policies.
        executor: "numba" or "pillow", of native policies.
    """

    rates: Mapping[str, Rate]
    executor: str

    def share(self, name: str, floor: str) -> float:
        """Return a policy's speed as a share of a floor's."""
        return self.rates[name].median / self.rates[floor].median


def measure(
    policies: Mapping[str, Policy | PythonPolicy],
    *,
    size: tuple[int, int] = (64, 64),
    channels: int = 3,
    batch: int = 256,
    threads: int = 1,
    rounds: int = 9,
    seconds: float = 0.1,
) -> Throughput:
    """Time policies on smooth images with noise.

    Args:
        policies: name -> policy; a Python policy runs in one process, as in one
            worker.
        size: (H, W) in pixels.
        channels: 1 or 3.
        batch: images per call.
        threads: of native policies and of nothing else.
        rounds: each candidate is timed once per round.
        seconds: shortest time of one timing; calls are repeated to fill it.

    Raises:
        UsageError: a policy has the name of a floor.
        DataError: a Python policy fails; the message names file and line.
    """
    taken = {COPY, NORMALIZE} & set(policies)
    if taken:
        raise UsageError(f"a policy named {min(taken)!r} cannot be told from the floor")
    images = _images(size, channels, batch)
    tasks = _tasks(policies, images, threads)
    executor = kernels.warm_up()
    calls = {name: _calls(task, seconds) for name, task in tasks.items()}
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            times[name].append(_time(task, calls[name]) / calls[name])
    rates = {}
    for name, taken_s in times.items():
        low, median, high = np.quantile(batch / np.array(taken_s), [0.25, 0.5, 0.75])
        rates[name] = Rate(float(low), float(median), float(high))
    return Throughput(rates, executor)


def _images(size: tuple[int, int], channels: int, batch: int) -> UInt8:
    """Smooth waves and a little noise: constant images would flatter some ops."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    turn = rng.uniform(0.02, 0.3, (batch, 1, 1, channels))
    wave = np.sin(turn * (x + 2 * y)[None, :, :, None])
    noise = rng.normal(0, 4, (batch, *size, channels))
    levels: UInt8 = (127 + 90 * wave + noise).clip(0, 255).astype(np.uint8)
    return levels


def _tasks(
    policies: Mapping[str, Policy | PythonPolicy], images: UInt8, threads: int
) -> dict[str, Callable[[], object]]:
    out = np.empty_like(images)
    batch, height, width, channels = images.shape
    floats = np.empty((batch, channels, height, width), dtype=np.float32)
    fill = np.full(channels, _FILL, dtype=np.uint8)
    counters = np.arange(batch)

    nothing = draw(
        Policy("nothing"),
        seed=0,
        stream="strong",
        counters=counters,
        shape=(height, width),
    )
    half = np.full(channels, 0.5)

    def normalize() -> None:
        kernels.apply_normalized(
            nothing,
            images,
            fill=fill,
            mean=half,
            std=half,
            out=floats,
            threads=threads,
        )

    def views(policy: Policy | PythonPolicy) -> Callable[[], object]:
        return lambda: kernels.render(
            policy,
            images,
            seed=0,
            stream="strong",
            counters=counters,
            fill=fill,
            out=out,
            threads=threads,
        )

    tasks: dict[str, Callable[[], object]] = {
        COPY: lambda: np.copyto(out, images),
        NORMALIZE: normalize,
    }
    return tasks | {name: views(policy) for name, policy in policies.items()}


def _calls(task: Callable[[], object], seconds: float) -> int:
    """Return how often a task is called in one timing; this also warms it up."""
    task()
    return max(1, round(seconds / max(_time(task, 1), 1e-7)))


def _time(task: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        task()
    return time.perf_counter() - begin
