"""Grouped folds: one run per draw, seed, fold and arm, its answers in its row.

The folds divide the data's training part; the data's own test part is not read. What
a fold holds out is the test part of its split, and the run never sees it.
"""

from __future__ import annotations

import json
import re
import shutil
import string
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _arms import ARMS, DRAWS, SAME, Draw, flags_of
from _common import Row, uda

from uda.data.grouping import gather
from uda.data.groups import resolve_groups
from uda.data.records import Catalog, scan
from uda.data.splits import Split, make_split
from uda.files import write_csv

VALIDATION = 0.15
NUM_FOLDS = 3
DIGITS = string.digits + string.ascii_letters
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Length:
    """How long a run is: a time, or steps."""

    flag: str  # --budget or --steps
    value: str

    @property
    def name(self) -> str:
        return f"{self.flag.lstrip('-')}-{self.value}"

    def flags(self, arm: list[str]) -> list[str]:
        """Return the flags of one arm's runs: generations share the length."""
        if "--generations" in arm and self.flag == "--steps":
            num = int(arm[arm.index("--generations") + 1])
            return [self.flag, str(max(1, int(self.value) // num))]
        return [self.flag, self.value]


@dataclass(frozen=True)
class Cell:
    """One run of a table."""

    draw: str
    length: str
    seed: int
    fold: int
    arm: str

    def folder(self, work: Path) -> Path:
        place = f"seed{self.seed}-fold{self.fold}"
        name = slug(SAME.get(self.arm, self.arm))
        return work / slug(self.draw) / self.length / place / name


def split_path(work: Path, draw: str, seed: int, fold: int) -> Path:
    return work / slug(draw) / "splits" / f"seed{seed}-fold{fold}.csv"


def slug(name: str) -> str:
    """Return a name as a folder."""
    return re.sub(r"\W+", "-", name.replace("+", "plus"))


def folds_of(catalog: Catalog) -> list[set[str]]:
    """Divide the labelled images of the training part; whole groups, by class.

    Returns:
        The paths of each fold. They do not depend on the seed of a run, so that a
        repeat asks about the same folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    training = [r for r in catalog.records if r.part in (None, "train") and r.label]
    inner = replace(catalog, records=tuple(training))
    facts = gather(inner, resolve_groups(inner, None))
    paths = list(facts.records)
    folder = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    labels, units = facts.labels_of(paths), facts.units_of(paths)
    return [
        {paths[place] for place in held.tolist()}
        for _, held in folder.split(np.zeros(len(paths)), labels, units)
    ]


def fold_split(
    catalog: Catalog, draw: Draw, held: set[str], training: set[str], seed: int
) -> Split:
    """Draw the split of one fold and seed: ``held`` is its test part."""
    records = tuple(
        replace(record, part="test" if record.path in held else "train")
        for record in catalog.records
        if record.path in held | training
    )
    inner = replace(catalog, records=records)
    counts = draw.labels(catalog.classes, seed) if draw.counts else None
    split, _ = make_split(
        inner,
        resolve_groups(inner, None),
        labels_per_class=counts,
        labels_share=draw.share,
        validation=VALIDATION,
        seed=seed,
    )
    return split


def write_splits(
    data: Path | None, work: Path, name: str, seeds: Iterable[int]
) -> None:
    """Write the splits of a draw that are not there yet."""
    wanted = [(seed, fold) for seed in seeds for fold in range(NUM_FOLDS)]
    missing = [cell for cell in wanted if not split_path(work, name, *cell).is_file()]
    if not missing:
        return
    if data is None:
        raise SystemExit(
            "set UDA_DATA to the folder that holds neu/: a split is missing"
        )
    catalog = scan(source_of(data, work, DRAWS[name]))
    folds = folds_of(catalog)
    for seed, fold in missing:
        training = set().union(*folds) - folds[fold]
        split = fold_split(catalog, DRAWS[name], folds[fold], training, seed)
        path = split_path(work, name, seed, fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        split.save(path)


def source_of(data: Path, work: Path, draw: Draw) -> Path:
    """Return the folder of a draw's images; with merged classes a copy, made once."""
    if not draw.merged:
        return data / draw.data
    folder = work / "data" / f"{draw.data}-{'-'.join(name for name, _ in draw.merged)}"
    with _LOCK:
        if not folder.is_dir():
            _merge(data / draw.data, folder, draw)
    return folder


def _merge(source: Path, folder: Path, draw: Draw) -> None:
    new = {old: name for name, members in draw.merged for old in members}
    catalog = scan(source)
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    rows = []
    for record in catalog.records:
        target = temporary / record.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.file, target)
        label = new[record.label] if record.label else ""
        rows.append((record.path, label, record.part or "", record.group or ""))
    write_csv(temporary / "manifest.csv", ("path", "label", "split", "group"), rows)
    temporary.rename(folder)


def counts_of(split: Split, part: str) -> dict[str, int]:
    """Return images per class in one part, classes sorted."""
    counts = Counter(row.label or "" for row in split.part(part))
    return {name: counts[name] for name in sorted({r.label or "" for r in split.rows})}


def run(data: Path, work: Path, cell: Cell, length: Length, extra: list[str]) -> Row:
    """Train and evaluate one cell, unless it has been done."""
    folder = cell.folder(work)
    done = folder / "row.json"
    if row_of(cell, work) is None:
        path = split_path(work, cell.draw, cell.seed, cell.fold)
        split = Split.load(path)
        pool = counts_of(split, "unlabeled")
        # A class that the pool lacks still has to have a share.
        whole = sum(pool.values())  # 0 where every image is labelled
        prior = {name: max(n, 0.5) / whole for name, n in pool.items() if whole}
        flags = flags_of(cell.arm, DRAWS[cell.draw], prior)
        if "texture" not in flags:
            flags = [*flags, *length.flags(flags), "--threads", "1", *extra]
        words = (
            "train", str(source_of(data, work, DRAWS[cell.draw])), "--split", str(path),
            "--seed", str(cell.seed), "--project", str(folder), "--name", "run", *flags,
        )  # fmt: skip
        seconds = train(folder, *words)
        row = answer(folder, split) | {"seconds": round(seconds), "flags": flags}
        done.write_text(json.dumps(row, indent=2) + "\n")
    return row_of(cell, work) or {}


def train(folder: Path, *words: str) -> float:
    """Train a cell, or go on with it; return the seconds of all its pieces."""
    latest, begun = folder / "latest", folder / "begun.json"
    spent = 0.0
    if begun.is_file() and any(latest.glob("checkpoints/*.pt")):
        piece = json.loads(begun.read_text())
        last = (latest / "metrics.jsonl").stat().st_mtime
        spent = piece["spent"] + max(0.0, last - piece["at"])
        if json.loads((latest / "status.json").read_text())["state"] == "done":
            return spent  # and was killed before it answered
        words = ("resume", str(latest.resolve()))
    begin = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    begun.write_text(json.dumps({"at": begin, "spent": spent}))
    uda(*words, log=folder / "log.txt")
    return spent + time.time() - begin


def answer(folder: Path, split: Split) -> Row:
    """Classify what the fold held out; return what the run says of itself."""
    from uda.evaluation.evaluate import evaluate, load_bundles
    from uda.evaluation.parts import split_part
    from uda.run.layout import open_run, read_metrics

    run_folder = open_run(folder / "latest")
    bundles = load_bundles(run_folder.path)
    first = {"ema": bundles["ema"]}
    with _LOCK:  # one set of images in memory at a time
        images = split_part(run_folder, bundles["ema"].classes, "test")
        found = evaluate(first, images)
    predictions = found.predictions["ema"]
    named = [predictions.classes[i] for i in predictions.predicted]
    metrics = found.metrics["ema"]
    status = run_folder.read_status()
    last: dict[str, float] = {}
    for line in read_metrics(run_folder.metrics):
        last |= line
    counts = counts_of(split, "labeled")
    rarest = min(counts, key=lambda name: counts[name])
    by_name = {entry.name: entry.recall.value for entry in metrics.per_class}
    return {
        "steps": status["steps"],
        "macro_f1": metrics.macro_f1.value,
        "balanced_accuracy": metrics.balanced_accuracy.value,
        "rarest": rarest,
        "rarest_recall": by_name[rarest],
        "validation": status.get("val_ema/balanced_accuracy"),
        "trust": status.get("trust"),
        "handed_over": status.get("handed_over"),
        "mask_rate": last.get("unlabeled/mask_rate"),
        "pseudo_right": last.get("unlabeled/pseudo_right"),
        "answers": encoded(dict(zip(predictions.ids, named, strict=True)), split),
    }


def encoded(answers: dict[str, str], split: Split) -> str:
    """Return a character per held-out image, in the split's order: which class.

    The classes are numbered as they stand in `counts_of`. That is all that a table
    needs of a run, and short enough for a CSV file.
    """
    number = {name: DIGITS[i] for i, name in enumerate(counts_of(split, "test"))}
    return "".join(number[answers[row.path]] for row in split.part("test"))


def decoded(answers: str) -> list[int]:
    """Return the class numbers of `encoded`."""
    return [DIGITS.index(digit) for digit in answers]


def run_all(
    data: Path, work: Path, cells: list[Cell], length: Length, *, jobs: int,
    extra: list[str],
) -> list[str]:  # fmt: skip
    """Run cells side by side, in their order.

    Returns:
        What went wrong, one line per cell; the other cells are run all the same.
    """
    failed: list[str] = []

    def one(cell: Cell) -> None:
        try:
            row = run(data, work, cell, length, extra)
            print(json.dumps(row), flush=True)
        except subprocess.CalledProcessError as error:
            log = cell.folder(work) / "log.txt"
            failed.append(f"{cell}: exit code {error.returncode}, see {log}")
            print(failed[-1], flush=True)

    if jobs == 1:
        for cell in cells:
            one(cell)
        return failed
    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(one, cell) for cell in cells]:
            future.result()
    return failed


def finished(work: Path, draw: str, arms: tuple[str, ...]) -> list[Row]:
    """Return the rows of every finished cell of some arms."""
    rows: list[Row] = []
    for place in sorted((work / slug(draw)).glob("*/seed*-fold*")):
        seed, fold = (int(n) for n in re.findall(r"\d+", place.name))
        for arm in arms:
            cell = Cell(draw, place.parent.name, seed, fold, arm)
            row = row_of(cell, work)
            if row is not None:
                rows.append(row)
    return rows


def row_of(cell: Cell, work: Path) -> Row | None:
    """Return the row of a finished cell; None without one, or without answers.

    Two arms may share a folder: the row is the asked one's, whoever wrote it.
    """
    done = cell.folder(work) / "row.json"
    row = json.loads(done.read_text()) if done.is_file() else {}
    return row | vars(cell) if row.get("answers") else None


def all_cells(
    draw: str,
    length: Length,
    seeds: list[int],
    folds: list[int],
    arms: list[str],
    *,
    rotate: bool = False,
) -> list[Cell]:
    """Return cells, whole folds first: half a table is then a table of fewer folds.

    With ``rotate`` each seed asks one fold alone, its own number modulo their count:
    three seeds then cover three folds at a third of the cost.
    """
    unknown = set(arms) - set(ARMS)
    if unknown:
        raise SystemExit(f"no such arm: {', '.join(sorted(unknown))}")
    return [
        Cell(draw, length.name, seed, fold, arm)
        for seed in seeds
        for fold in ([folds[seed % len(folds)]] if rotate else folds)
        for arm in arms
    ]
