"""Waiting for data as a share of step time, through the real training loop.

The share is what TensorBoard shows as time/waiting_share. Batches are made ahead
in a thread, so on busy cores making them costs the step time even where nobody
waits: the CPU time per batch is that cost.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from _bench import machine, show, train, write_images

from uda.training.configure import build_config
from uda.training.monitor import tags
from uda.training.prepare import Policies, build_parts, build_stream
from uda.training.split import find_split

CASES = {
    "wrn-28-2": {
        "recipe": "paper", "model.name": "wrn-28-2", "data.size": (32, 32),
        "loop.batch": 64, "consistency.unlabeled_ratio": 7,
    },
    "small": {
        "recipe": "small", "model.name": "small", "data.size": (64, 64),
        "loop.batch": 32, "consistency.unlabeled_ratio": 4,
        "consistency.start_share": 0.0, "consistency.ramp_share": 0.0,
    },
}  # fmt: skip
UNLABELED = 2000
# The first batch is never ready; the second step still warms caches up.
WARM_UP = 2


def made_alone(folder: Path, keys: dict[str, object]) -> tuple[float, int]:
    """Median CPU seconds of making one batch, and the images in it."""
    config = build_config(
        {
            "data.root": str(folder / "data"),
            "data.unlabeled": (str(folder / "more"),),
            "data.group": "none",
            "data.cache": str(folder / "cache" / "alone"),
            **keys,
        }
    )
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    stream = build_stream(config, parts, Policies.load(config))
    stream = replace(stream, unlabeled_start=0)
    times = []
    for step in range(8):
        begin = time.process_time()
        batch = stream(step)
        times.append(time.process_time() - begin)
    views = (batch.labeled, batch.weak, batch.strong)
    images = sum(len(view) for view in views if view is not None)
    return statistics.median(times[1:]), images


def waiting(lines: list[dict[str, float]], images: int) -> tuple[float, float]:
    """Median seconds per step of a run, and the share of them spent waiting."""
    timed = [line for line in lines if tags.WAITING_SHARE in line][WARM_UP:]
    seconds = [images / line[tags.IMAGES_PER_SECOND] for line in timed]
    waited = [
        line[tags.WAITING_SHARE] * second
        for line, second in zip(timed, seconds, strict=True)
    ]
    return statistics.median(seconds), sum(waited) / sum(seconds)


def measure(case: str, steps: int, repeats: int) -> list[str]:
    """Train a case several times; return a row of the table."""
    keys = {**CASES[case], "loop.steps": steps + WARM_UP}
    side, batch = keys["data.size"][0], keys["loop.batch"]
    seconds, shares = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, per_class=60, unlabeled=UNLABELED, side=side)
        alone, images = made_alone(folder, CASES[case])
        for repeat in range(repeats):
            lines = train(folder, keys, name=f"{case}-{repeat}")
            second, share = waiting(lines, images)
            print(f"{case}, run {repeat}: {second:.2f} s, {share:.4%}", file=sys.stderr)
            seconds.append(second)
            shares.append(share)
    step = statistics.median(seconds)
    return [
        case, f"{side}", str(batch), str(keys["consistency.unlabeled_ratio"]),
        f"{repeats} x {steps}", f"{step:.2f}", f"{1000 * alone:.0f}",
        f"{alone / step:.2%}", f"{statistics.median(shares):.3%}",
        f"{max(shares):.3%}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    words = parser.parse_args()
    unknown = set(words.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}: choose from {list(CASES)}")
    chosen = words.cases or list(CASES)
    found = [measure(case, words.steps, words.repeats) for case in chosen]
    print(machine(), end="\n\n")
    show(
        [
            "model", "pixels", "batch", "mu", "steps", "s per step",
            "CPU ms per batch made", "of a step", "waiting, median run",
            "waiting, worst run",
        ],
        found,
    )  # fmt: skip


if __name__ == "__main__":
    main()
