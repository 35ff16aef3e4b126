"""What unlabelled images add to the anonymous memory of a real training.

Each training is a process of its own that reads RssAnon from /proc/self/status
twenty times a second; pixels in the memory-mapped pool are page cache (RssFile),
which the system takes back when it needs it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from _bench import machine, show, train, write_images

SIDE = 64
KEYS = {
    "model.name": "small", "data.size": (SIDE, SIDE), "loop.batch": 32,
    "loop.threads": 2, "consistency.unlabeled_ratio": 4,
    "consistency.start_share": 0.0, "consistency.ramp_share": 0.0,
}  # fmt: skip


def memory(field: str) -> int:
    """KiB of a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {field}: this needs Linux")


def child(folder: Path, steps: int) -> None:
    """Train and print the memory seen as JSON."""
    before = memory("RssAnon")
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append((memory("RssAnon"), memory("RssFile")))
            time.sleep(0.05)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    train(folder, {**KEYS, "loop.steps": steps}, name="train")
    done.set()
    watcher.join()
    late = [anonymous for anonymous, _ in seen[len(seen) // 2 :]]
    print(
        json.dumps(
            {
                "before": before,
                "peak": max(anonymous for anonymous, _ in seen),
                "later half": int(statistics.median(late)),
                "mapped": max(mapped for _, mapped in seen),
            }
        )
    )


def measure(count: int, steps: int, repeats: int) -> list[dict[str, int]]:
    """Train `repeats` times with `count` unlabelled images, each in a process."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), per_class=40, unlabeled=count, side=SIDE)
        for repeat in range(repeats):
            # A cache of its own: building the pool is part of what is measured.
            folder = Path(name) / f"repeat{repeat}"
            folder.mkdir()
            for part in ("data", "more"):
                (folder / part).symlink_to(Path(name) / part)
            words = [sys.executable, __file__, "--child", str(folder)]
            done = subprocess.run(
                [*words, "--steps", str(steps)], check=True, stdout=subprocess.PIPE
            )
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child is not None:
        child(words.child, words.steps)
        return
    rows, base = [], None
    for count in words.counts:
        found = measure(count, words.steps, words.repeats)
        middle = {
            key: statistics.median(one[key] for one in found) / 1024 for key in found[0]
        }
        base = base or middle
        rows.append(
            [
                f"{count:,}",
                f"{count * SIDE * SIDE / 2**20:.0f}",
                f"{middle['peak']:.0f}",
                f"{middle['peak'] - base['peak']:+.0f}",
                f"{middle['later half']:.0f}",
                f"{middle['later half'] - base['later half']:+.0f}",
            ]
        )
    print(machine(), end="\n\n")
    show(
        [
            "unlabelled images", "pixels in the pool, MiB", "RssAnon, peak MiB",
            "more", "RssAnon, later half MiB", "more",
        ],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
