"""Images per second of the strong view: our executors, other libraries, floors.

One pipeline for everybody: flip, reflect pad-crop by S/8, RandAugment with two ops
that are always applied, half-size cutout, normalise to float32 (K, S, S). Ours draws
its plan within the time measured. CPU time on one core, in shuffled order; only
the row of two threads is wall time, on two cores.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from _bench import machine, show
from _peers import BATCHED, EXTRAS, PER_IMAGE, Run, Task

from uda.augment import accelerated, fallback, kernels
from uda.augment.plan import Plan, draw
from uda.augment.policy import Policy, load_policy

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
PEER_IMAGES = 64
MEAN, STD = (0.49, 0.48, 0.45), (0.2, 0.2, 0.2)
TARGETS = {32: 60, 64: 30, 128: 10, 224: 5}
OURS, FALLBACK = "uda, compiled", "uda, numpy and Pillow"
FLOOR = "normalise only (ours)"
TWO_THREADS = 1.7
PACKAGES = (
    "torchvision", "timm", "albumentations", "kornia", "imgaug", "randaugment",
    "pillow", "opencv-python-headless",
)  # fmt: skip


@dataclass
class Contender:
    """One row of the table: what is run, and the images per second it reached."""

    name: str
    group: str
    note: str = ""
    run: Callable[[], object] | None = None
    images: int = PEER_IMAGES
    calls: int = 1
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return float(np.median(self.rates)) if self.rates else math.nan

    def cell(self) -> str:
        if not self.rates:
            return self.note.partition(":")[0]
        low, middle, high = np.percentile(self.rates, (25, 50, 75))
        return f"{middle:,.0f} ({low:,.0f}..{high:,.0f})"


def pin(cpus: list[int]) -> None:
    """Keep this thread, and those it starts, on these CPUs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def race_policy() -> Policy:
    """FixMatch's ops and the stated order, both ops always applied."""
    return replace(load_policy("fixmatch"), name="race", probability=1.0)


class Ours:
    """Our executors on a batch: each call draws a new plan and executes it."""

    def __init__(self, task: Task, batch: int, device: str) -> None:
        repeats = -(-batch // len(task.images))
        self.images = np.tile(task.images, (repeats, 1, 1, 1))[:batch]
        self.policy = race_policy()
        self.scale = {"mean": task.mean, "std": task.std}
        self.fill = np.round(255 * np.array(task.mean)).astype(np.uint8)
        shape = (batch, task.channels, task.side, task.side)
        self.out = np.empty(shape, dtype=np.float32)
        self.batch = torch.from_numpy(self.images).permute(0, 3, 1, 2).to(device)
        self.result = torch.empty(shape, device=device)
        self.calls = 0

    def plan(self) -> Plan:
        self.calls += 1
        size = len(self.images)
        counters = np.arange(self.calls * size, (self.calls + 1) * size)
        shape = self.images.shape[1:3]
        return draw(self.policy, seed=1, stream="race", counters=counters, shape=shape)

    def still(self) -> Plan:
        """A plan that changes nothing: what is left is to normalise."""
        shape, counters = self.images.shape[1:3], np.arange(len(self.images))
        return draw(Policy("n"), seed=0, stream="n", counters=counters, shape=shape)

    def execute(self, plan: Plan, threads: int = 1) -> np.ndarray:
        return kernels.apply_normalized(
            plan, self.images, fill=self.fill, out=self.out, threads=threads,
            **self.scale,
        )  # fmt: skip

    def compiled(self) -> np.ndarray:
        return self.execute(self.plan())

    def plain(self) -> None:
        """The executor without compiled code, normalised by a table."""
        levels = np.empty_like(self.images)
        fallback.apply(self.plan(), self.images, fill=self.fill, out=levels)
        norms = kernels._norms(**self.scale, channels=levels.shape[3])
        for channel, table in enumerate(norms):
            self.out[:, channel] = table[levels[..., channel]]

    def torch(self) -> torch.Tensor:
        scale = (self.scale["mean"], self.scale["std"])
        return accelerated.apply(
            self.plan(), self.batch, fill=self.fill, out=self.result, normalize=scale
        )

    def check(self) -> None:
        """A race of executors that disagree would mean nothing."""
        plan = self.plan()
        scale = (self.scale["mean"], self.scale["std"])
        views = accelerated.apply(plan, self.batch, fill=self.fill, normalize=scale)
        difference = np.abs(self.execute(plan) - views.cpu().numpy()).max()
        if not difference < 1e-5:
            raise SystemExit(f"the executors differ by {difference}")


def our_contenders(ours: Ours, small: Ours) -> list[Contender]:
    size, few = len(ours.images), len(small.images)
    still = ours.still()
    copy = np.empty_like(ours.images)
    mean = torch.tensor(ours.scale["mean"]).view(1, -1, 1, 1) * 255
    factor = 1 / (255 * torch.tensor(ours.scale["std"]).view(1, -1, 1, 1))
    pixels = torch.from_numpy(ours.images)

    def copied() -> None:
        copy[...] = ours.images

    def batched_torch() -> torch.Tensor:
        return pixels.permute(0, 3, 1, 2).float().sub_(mean).mul_(factor)

    return [
        Contender(OURS, "ours", "", ours.compiled, size),
        Contender(f"{OURS}, batch of {few}", "ours", "", small.compiled, few),
        Contender(FALLBACK, "ours", "", small.plain, few),
        Contender("uda, torch on the CPU", "ours", "", small.torch, few),
        Contender("drawing plans (ours)", "part", "", ours.plan, size),
        Contender(FLOOR, "floor", "", lambda: ours.execute(still), size),
        Contender("normalise only (torch)", "floor", "", batched_torch, size),
        Contender("copy uint8", "floor", "", copied, size),
    ]  # fmt: skip


def peers(task: Task) -> list[Contender]:
    """The other libraries; what is missing or fails says so in its note."""
    found = []
    for group, makers in (("peer", PER_IMAGE), ("batch peer", BATCHED)):
        for name, (make, note) in makers.items():
            row = Contender(name, group, note)
            try:
                row.run = tried(make(task), task)
            except ImportError:
                row.note = f"missing: pip install {EXTRAS.get(name, name)}"
            except Exception as error:
                row.note = failed(error)
            found.append(row)
    return found


def tried(run: Run, task: Task) -> Run:
    """Return a run that gives normalised tensors of the right shape, or raise."""
    views = run()
    shape = (len(task.images), task.channels, task.side, task.side)
    found = (len(views), *views[0].shape)
    if found != shape or views[0].dtype != torch.float32:
        raise ValueError(f"gives {views[0].dtype} of shape {found}")
    return run


def race(rows: list[Contender], rounds: int, least: float) -> None:
    """Measure all in shuffled order, each for ``least`` seconds a round."""
    for row in rows:
        spent = timed(row)
        row.calls = max(1, math.ceil(least / max(spent, 1e-6)))
    for number in range(rounds):
        for index in np.random.default_rng(number).permutation(len(rows)):
            row = rows[index]
            spent = timed(row)
            if row.run is not None:
                row.rates.append(row.calls * row.images / max(spent, 1e-9))


def timed(row: Contender) -> float:
    """CPU seconds of a row's calls; one that fails, now or before, is out."""
    if row.run is None:
        return 0.0
    begin = time.process_time()
    try:
        for _ in range(row.calls):
            row.run()
    except Exception as error:  # an op that was not drawn before
        row.run, row.rates, row.note = None, [], failed(error)
    return time.process_time() - begin


def failed(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"fails: {type(error).__name__}: {words[:80]}"


def two_threads(ours: Ours, rounds: int, least: float) -> Contender:
    """Wall time of one thread over that of two, executing the same plan.

    Another program on either core halves a round's number, so the note holds what
    the fastest rounds of each say.
    """
    row = Contender("two threads over one (wall time)", "threads", "needs two CPUs")
    if len(CPUS) < 2:
        return row
    pin(CPUS[-2:])
    plan = ours.plan()
    times: dict[int, list[float]] = {1: [], 2: []}

    def wall(threads: int, calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            ours.execute(plan, threads)
        return time.perf_counter() - begin

    wall(2, 2)
    calls = max(1, math.ceil(least / wall(1, 1)))
    for number in range(2 * rounds):
        for threads in (1, 2) if number % 2 else (2, 1):
            times[threads].append(wall(threads, calls))
    pin(CPUS[-1:])
    row.rates = [one / two for one, two in zip(times[1], times[2], strict=True)]
    row.note = f"{min(times[1]) / min(times[2]):.2f}x"
    return row


def measure(side: int, channels: int, words: argparse.Namespace) -> list[Contender]:
    rng = np.random.default_rng(side)
    # Smooth with noise: neither flat nor all levels equally often.
    coarse = rng.integers(0, 256, (PEER_IMAGES, 5, 5, channels)).astype(np.float64)
    grown = coarse.repeat(-(-side // 5), 1).repeat(-(-side // 5), 2)[:, :side, :side]
    noisy = 0.6 * grown + 50 + rng.normal(0, 6, grown.shape)
    images = noisy.clip(0, 255).astype(np.uint8)
    task = Task(images, MEAN[:channels], STD[:channels])
    ours = Ours(task, words.batch, words.device)
    small = Ours(task, PEER_IMAGES, words.device)
    small.check()
    rows = our_contenders(ours, small) + peers(task)
    if words.device != "cpu":
        return on_device(ours, words)
    race(rows, words.rounds, words.least)
    pair = two_threads(ours, words.rounds, words.least)
    print(f"{side} px, {channels} channels: done", file=sys.stderr)
    return [*rows, pair]


def on_device(ours: Ours, words: argparse.Namespace) -> list[Contender]:
    """The torch executor on an accelerator, by wall time, drawing included."""
    row = Contender(f"uda, torch on {words.device}", "ours", "", ours.torch)
    for _ in range(words.rounds + 1):
        begin = time.perf_counter()
        for _ in range(8):
            ours.torch()
        ours.result.sum().item()  # wait for the device
        row.rates.append(8 * len(ours.images) / (time.perf_counter() - begin))
    row.rates = row.rates[1:]
    return [row]


Results = dict[tuple[int, int], list[Contender]]


def by_name(rows: list[Contender]) -> dict[str, Contender]:
    return {row.name: row for row in rows}


def best(rows: list[Contender], names: set[str]) -> Contender | None:
    able = [row for row in rows if row.rates and row.name in names]
    return max(able, key=lambda row: row.median, default=None)


def print_rates(results: Results, channels: int) -> None:
    found = {
        side: by_name(rows) for (side, k), rows in results.items() if k == channels
    }
    first = next(iter(found.values()))
    print(f"\nImages per second, {channels} channels: median (quartiles)\n")
    lines = [
        [row.name, *(found[side][name].cell() for side in found), row.note]
        for name, row in first.items()
        if row.group != "threads"
    ]
    show(["contender", *(f"{side} px" for side in found), "note"], lines)


def speed_up(row: Contender) -> str:
    """Of the fastest rounds, and the quartiles of all."""
    if not row.rates:
        return row.note
    low, middle, high = np.percentile(row.rates, (25, 50, 75))
    return f"{row.note}; rounds {middle:.2f} ({low:.2f}..{high:.2f})"


def print_ratios(results: Results) -> None:
    print("\nOurs, compiled, against the best peer, our floor and one thread\n")
    lines = []
    for (side, channels), rows in results.items():
        named = by_name(rows)
        ours = named[OURS].median
        peer = best(rows, set(PER_IMAGE))
        other = best(rows, set(PER_IMAGE) | {"imgaug"})
        pair = next(row for row in rows if row.group == "threads")
        lines.append(
            [
                str(side), str(channels),
                f"{ours / peer.median:.1f}x of {peer.name}" if peer else "no peer",
                f"{TARGETS[side]}x" if side in TARGETS else "",
                f"{ours / other.median:.1f}x of {other.name}" if other else "no peer",
                f"{ours / named[FLOOR].median:.0%}",
                speed_up(pair),
            ]
        )  # fmt: skip
    show(
        [
            "pixels", "channels", "best per-image library", "target",
            "with batches of imgaug", "of the floor (target 30 %)",
            f"two threads (target {TWO_THREADS}x at 32..128)",
        ],
        lines,
    )  # fmt: skip


def write_csv(path: Path, results: Results) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["side", "channels", "contender", "group", "q1", "median", "q3", "note"]
        )
        for (side, channels), rows in results.items():
            for row in rows:
                low, middle, high = (
                    np.percentile(row.rates, (25, 50, 75)) if row.rates else ("",) * 3
                )
                writer.writerow(
                    [side, channels, row.name, row.group, low, middle, high, row.note]
                )


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def read_words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 224])
    parser.add_argument("--channels", type=int, nargs="+", default=[3, 1])
    parser.add_argument("--rounds", type=int, default=9, help="at least 7 count")
    parser.add_argument("--batch", type=int, default=448, help="of ours: 64 x 7")
    parser.add_argument("--quick", action="store_true", help="32 px, 3 short rounds")
    parser.add_argument("--csv", type=Path, metavar="FILE")
    parser.add_argument("--device", default="cpu", help="measure torch there instead")
    words = parser.parse_args()
    words.least = 0.2
    if words.quick:
        words.sizes, words.channels, words.rounds, words.least = [32], [3], 3, 0.02
    return words


def main() -> None:
    words = read_words()
    warnings.filterwarnings("ignore")
    load = machine()
    pin(CPUS[-1:])
    torch.set_num_threads(1)
    kernels.warm_up()
    results = {
        (side, channels): measure(side, channels, words)
        for channels in words.channels
        for side in words.sizes
    }
    print(f"{load}\n{versions()}")
    print(
        f"{words.rounds} rounds, one core, CPU time; images per call: "
        f"{words.batch} (ours), {PEER_IMAGES} (others)"
    )
    for channels in words.channels:
        print_rates(results, channels)
    if words.device == "cpu":
        print_ratios(results)
    if words.csv:
        write_csv(words.csv, results)


if __name__ == "__main__":
    main()
