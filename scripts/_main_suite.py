"""The main suite: texture, supervised and UDA on the fixed test parts, and ablations.

Every run is a folder below runs/results; a finished one is not run again. The
test part is read once, at the end of each arm, by `uda evaluate`.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from _common import PROJECT, uda, write_between, write_rows

WORK = PROJECT / "runs" / "results"
ROWS = PROJECT / "docs" / "results.csv"
LABELS = {"neu": 5, "magnetic_tile": 10, "elpv": 10}
COLUMNS = (
    "data", "seed", "arm", "steps", "seconds", "validation", "test",
    "test_macro_f1", "warm_start", "trust", "handed_over", "mask_rate", "pseudo_right",
)  # fmt: skip

# Arm -> flags. `{seconds}` is the wall time that the same seed's UDA run took.
ARMS = {
    "texture": ["--method", "texture"],
    "uda": [],
    "supervised, equal steps": ["--method", "supervised"],
    "supervised, equal time": ["--method", "supervised", "--budget", "{seconds}s"],
    "uda, no TSA": ["--tsa", "none"],
    "uda, no class balance": ["--sampling-power", "1"],
    "uda, no texture teacher": ["--set", "consistency.texture_weight=0"],
    "uda, no clean statistics": ["--set", "loop.clean_statistics=false"],
}
ABLATIONS = tuple(arm for arm in ARMS if arm.startswith("uda, "))


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    data: str
    seed: int
    arm: str

    @property
    def folder(self) -> Path:
        slug = re.sub(r"\W+", "-", self.arm)
        return WORK / self.data / f"seed{self.seed}" / slug


def split(data: Path, name: str, seed: int) -> Path:
    """Write the split of one seed, once."""
    path = WORK / name / f"seed{seed}" / "split.csv"
    if not path.exists():
        uda(
            "split", str(data / name), "--labels-per-class", str(LABELS[name]),
            "--seed", str(seed), "--out", str(path), log=path.with_suffix(".log"),
        )  # fmt: skip
    return path


def run(data: Path, cell: Cell, extra: list[str]) -> dict[str, object]:
    """Train and evaluate one cell, unless it has been done."""
    done = cell.folder / "row.json"
    if done.exists():
        row: dict[str, object] = json.loads(done.read_text())
        return row
    flags = ARMS[cell.arm]
    if "{seconds}s" in flags:
        reference = Cell(cell.data, cell.seed, "uda").folder / "row.json"
        seconds = json.loads(reference.read_text())["seconds"]
        flags = [flag.replace("{seconds}", str(seconds)) for flag in flags]
    split_file = split(data, cell.data, cell.seed)
    log = cell.folder / "log.txt"
    source = str(data / cell.data)
    common = [] if cell.arm == "texture" else ["--threads", "1", *extra]
    begin = time.time()
    uda(
        "train", source, "--split", str(split_file), "--seed", str(cell.seed),
        "--project", str(cell.folder), "--name", "run", *common, *flags, log=log,
    )  # fmt: skip
    seconds = time.time() - begin
    folder = (cell.folder / "latest").resolve()
    uda("evaluate", str(folder), "--part", "test", log=log)
    row = row_of(cell, folder, seconds)
    done.write_text(json.dumps(row, indent=2))
    return row


def row_of(cell: Cell, folder: Path, seconds: float) -> dict[str, object]:
    """Collect the numbers of one finished run."""
    from uda.run.layout import read_metrics

    status = json.loads((folder / "status.json").read_text())
    metrics = json.loads((folder / "evaluation" / "test" / "metrics.json").read_text())
    last: dict[str, float] = {}
    for line in read_metrics(folder / "metrics.jsonl"):
        last |= line
    weights = metrics["weights"]
    chosen = weights["ema"]
    warm = weights.get("warm")
    return {
        "data": cell.data,
        "seed": cell.seed,
        "arm": cell.arm,
        "steps": status["steps"],
        "seconds": round(seconds),
        "validation": status.get("val_ema/balanced_accuracy"),
        "test": chosen["balanced_accuracy"]["value"],
        "test_macro_f1": chosen["macro_f1"]["value"],
        "warm_start": warm and warm["balanced_accuracy"]["value"],
        "trust": status.get("trust"),
        "handed_over": status.get("handed_over"),
        "mask_rate": last.get("unlabeled/mask_rate"),
        "pseudo_right": last.get("unlabeled/pseudo_right"),
    }


def cells(names: list[str], seeds: list[int], arms: list[str]) -> Iterator[Cell]:
    """Yield the cells; ablations on the first data set alone."""
    for seed in seeds:
        for name in names:
            for arm in arms:
                if arm not in ABLATIONS or name == "neu":
                    yield Cell(name, seed, arm)


def run_all(data: Path, todo: list[Cell], jobs: int, extra: list[str]) -> None:
    """Run chains (one data set and seed each) side by side."""
    chains: dict[tuple[str, int], list[Cell]] = {}
    for cell in todo:
        chains.setdefault((cell.data, cell.seed), []).append(cell)
    lock = threading.Lock()

    def chain(members: list[Cell]) -> None:
        for cell in members:
            row = run(data, cell, extra)
            with lock:
                print(json.dumps(row), flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(chain, members) for members in chains.values()]:
            future.result()


def finished() -> list[dict[str, object]]:
    """Return the rows of every finished cell."""
    return [
        json.loads(path.read_text()) for path in sorted(WORK.glob("*/*/*/row.json"))
    ]


def write_tables(rows: list[dict[str, object]]) -> None:
    """Write docs/results.csv and the main tables of docs/results.md."""
    write_rows(ROWS, COLUMNS, rows)
    write_between("tables", tables(rows))


def tables(rows: list[dict[str, object]]) -> Iterator[str]:
    """Yield the lines of one table per data set."""
    for name in LABELS:
        mine = [row for row in rows if row["data"] == name]
        if not mine:
            continue
        yield f"\n### {name}, {LABELS[name]} labels per class\n"
        yield (
            "| arm | seeds | steps | seconds | validation | test balanced accuracy "
            "| test macro-F1 | own warm start, test | mask rate "
            "| kept pseudo-labels right | UDA's gain |"
        )
        yield "|---|---|---|---|---|---|---|---|---|---|---|"
        for arm in ARMS:
            part = [row for row in mine if row["arm"] == arm]
            if part:
                yield line(arm, part, [row for row in mine if row["arm"] == "uda"])


def line(arm: str, rows: list[dict], reference: list[dict]) -> str:
    """Format one arm: mean ± standard deviation over the seeds."""
    seeds = ", ".join(str(row["seed"]) for row in rows)
    cells_ = [arm, seeds]
    for key, digits in (("steps", 0), ("seconds", 0)):
        cells_.append(f"{mean(row[key] for row in rows):.{digits}f}")
    for key in (
        "validation", "test", "test_macro_f1", "warm_start", "mask_rate", "pseudo_right"
    ):  # fmt: skip
        cells_.append(spread([row[key] for row in rows if row[key] is not None]))
    by_seed = {row["seed"]: row["test"] for row in rows}
    gains = [
        row["test"] - by_seed[row["seed"]]
        for row in reference
        if row["seed"] in by_seed
    ]
    cells_.append("" if arm == "uda" else paired(gains))
    return "| " + " | ".join(cells_) + " |"


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


def paired(gains: list[float]) -> str:
    """Mean paired gain of UDA with its 95 % t interval over the seeds."""
    from scipy import stats

    if len(gains) < 2:
        return "–" if not gains else f"{gains[0]:+.3f}"
    half = stats.t.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    center = mean(gains)
    return f"{center:+.3f} ({center - half:+.3f} to {center + half:+.3f})"


def main(chosen: argparse.Namespace, data: Path | None) -> None:
    """Run the chosen cells and write the tables; without data the tables alone."""
    if data is not None:
        names, seeds = chosen.data or list(LABELS), chosen.seeds or [0, 1, 2]
        todo = list(cells(names, seeds, chosen.arms or list(ARMS)))
        run_all(data, todo, chosen.jobs, chosen.extra)
    write_tables(finished())
