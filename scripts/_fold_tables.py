"""Tables of the fold suites: pooled out-of-fold numbers and paired differences."""

from __future__ import annotations

import csv
import json
import re
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _arms import DRAWS, SUITES, SUPERVISED, Suite
from _common import PROJECT, Row, read_between, write_between, write_rows
from _folds import Cell, counts_of, decoded, finished, split_path, write_splits

from uda.data.splits import Split
from uda.evaluation.paired import MEASURES, Asked, Difference, compare

Place = tuple[str, str]  # a draw and a length: what has a table of its own
HEADING = re.compile(r"\*\*(.+?)\*\* .*; length of a run: (.+)\.$")
COLUMNS = (
    "draw", "length", "seed", "fold", "arm", "steps", "seconds", "macro_f1",
    "balanced_accuracy", "rarest", "rarest_recall", "validation", "trust",
    "handed_over", "mask_rate", "pseudo_right", "answers",
)  # fmt: skip
HEADER = (
    "| arm | runs | steps | seconds | macro-F1 | balanced accuracy | rarest class's "
    "recall | trust | kept | right among the kept |"
)


def write_suite(name: str, data: Path | None, work: Path) -> None:
    """Write docs/results_NAME.csv and the suite's tables of docs/results.md.

    Rows and tables of other machines stay, unless the same runs are here.
    """
    suite = SUITES[name]
    rows = [row for draw in DRAWS for row in finished(work, draw, suite.arms)]
    for draw in {row["draw"] for row in rows}:
        write_splits(data, work, draw, {r["seed"] for r in rows if r["draw"] == draw})
    path = rows_path(name)
    before = [row for row in read_rows(path) if is_known(suite, row)]
    every = {order(suite, row): row for row in [*before, *rows]}
    kept = [{key: every[at].get(key) for key in COLUMNS} for at in sorted(every)]
    write_rows(path, COLUMNS, kept)
    found, made = standing(name), tables(suite, rows, work)
    for place, lines in made.items():
        found[place] = merged(suite, found.get(place, []), lines)
    write_between(name, chain.from_iterable(found[p] for p in sorted(found, key=rank)))


def restore(work: Path) -> None:
    """Give work folders the finished rows of docs/ that they lack."""
    for name in SUITES:
        for row in read_rows(rows_path(name)):
            cell = Cell(*(row[key] for key in COLUMNS[:5]))
            done = cell.folder(work) / "row.json"
            if row["answers"] and not done.is_file():
                done.parent.mkdir(parents=True, exist_ok=True)
                done.write_text(json.dumps(row, indent=2) + "\n")


def rows_path(name: str) -> Path:
    return PROJECT / "docs" / f"results_{name}.csv"


def read_rows(path: Path) -> list[Row]:
    """Read a CSV file of `write_rows`: numbers as numbers, None for an empty cell."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [
            {key: value_of(key, row.get(key) or "") for key in COLUMNS}
            for row in csv.DictReader(stream)
        ]


def value_of(key: str, text: str) -> str | int | float | None:
    if not text:
        return None
    if key in ("draw", "length", "arm", "rarest", "handed_over", "answers"):
        return text
    return int(text) if key in ("seed", "fold", "steps", "seconds") else float(text)


def place_of(row: Row) -> Place:
    """Return what has a table of its own."""
    return row["draw"], row["length"]


def rank(place: Place) -> tuple[int, str]:
    """Return where a table stands."""
    return list(DRAWS).index(place[0]), place[1]


def is_known(suite: Suite, row: Row) -> bool:
    """Tell whether a row's arm and draw still exist; say so where they do not."""
    known = row["draw"] in DRAWS and row["arm"] in suite.arms
    if not known:
        print(f"left out, as nobody makes it any more: {row['draw']}, {row['arm']}")
    return known


def merged(suite: Suite, old: list[str], new: list[str]) -> list[str]:
    """Return a new table with the old one's lines of the arms that it lacks.

    Their differences are to the reference as it was then.
    """
    lines = {arm_of(line): line for line in [*old, *new] if arm_of(line) in suite.arms}
    head = [line for line in new if arm_of(line) not in suite.arms]
    return [*head, *(lines[arm] for arm in suite.arms if arm in lines)]


def arm_of(line: str) -> str:
    """Return the first cell of a line of a table."""
    return line.removeprefix("| ").split(" | ")[0]


def order(suite: Suite, row: Row) -> tuple[Any, ...]:
    """Return where a row stands in the CSV file; no two runs stand there."""
    arm = suite.arms.index(row["arm"])
    return *rank(place_of(row)), row["seed"], row["fold"], arm


def standing(name: str) -> dict[Place, list[str]]:
    """Return the tables that the page has, as `tables` does."""
    found: dict[Place, list[str]] = {}
    for text in read_between(name):
        heading = HEADING.match(text)
        if heading and heading[1] in DRAWS:
            lines = found.setdefault((heading[1], heading[2]), [""])
        if found:
            lines.append(text)
    return {place: trimmed(lines) for place, lines in found.items()}


def trimmed(lines: list[str]) -> list[str]:
    """Return lines without empty ones at the end."""
    while not lines[-1]:
        lines = lines[:-1]
    return lines


def tables(suite: Suite, rows: list[Row], work: Path) -> dict[Place, list[str]]:
    """Return the lines of one table per draw and length."""
    own = set(suite.arms) - set(SUITES["default"].arms)
    found: dict[Place, list[str]] = {}
    for draw, length in sorted({place_of(row) for row in rows}, key=rank):
        mine = [row for row in rows if place_of(row) == (draw, length)]
        if own and not any(row["arm"] in own for row in mine):
            continue  # that table is among those of the suite `default`
        every_label = DRAWS[draw].share == 1 and SUPERVISED in suite.arms
        wanted = SUPERVISED if every_label else suite.reference
        reference = [r for r in mine if r["arm"] == wanted]
        if not reference:
            continue
        lines = ["", f"**{draw}** ({DRAWS[draw].words}); length of a run: {length}."]
        lines += ["", HEADER, "|" + "---|" * HEADER.count(" | ") + "---|"]
        parts = ([row for row in mine if row["arm"] == arm] for arm in suite.arms)
        lines += [line(p[0]["arm"], p, reference, work) for p in parts if p]
        found[draw, length] = lines
    return found


def line(arm: str, rows: list[Row], reference: list[Row], work: Path) -> str:
    """Format one arm; a difference is over the folds that both have."""
    runs = sorted({(row["seed"], row["fold"]) for row in rows})
    cells = [arm, places(runs)]
    cells += [f"{mean(row[key] for row in rows):.0f}" for key in ("steps", "seconds")]
    own = pair(rows, rows, work)
    shared = pair(rows, reference, work)
    same = bool(reference) and arm == reference[0]["arm"]
    for name in MEASURES:
        text = f"{own[name].first:.3f}" if own else "–"
        if shared and not same:
            text += f" ({difference(shared[name])})"
        cells.append(text)
    for key in ("trust", "mask_rate", "pseudo_right"):
        known = [row[key] for row in rows if row.get(key) is not None]
        cells.append(f"{mean(known):.2f}" if known else "–")
    return "| " + " | ".join(cells) + " |"


def places(runs: list[tuple[int, int]]) -> str:
    """Say which seeds and folds: ``2 seeds x folds 0-2``, else how many runs."""
    seeds = sorted({seed for seed, _ in runs})
    folds = sorted({fold for _, fold in runs})
    if len(runs) == len(seeds) * len(folds):
        words = [",".join(map(str, numbers)) for numbers in (seeds, folds)]
        return f"seed {words[0]}; fold {words[1]}"
    return f"{len(runs)} runs"


def difference(entry: Difference) -> str:
    """``+0.031, +0.004 to +0.060``."""
    return (
        f"{entry.value:+.3f}, {entry.interval.low:+.3f} to {entry.interval.high:+.3f}"
    )


def pair(
    rows: list[Row], reference: list[Row], work: Path
) -> dict[str, Difference] | None:
    """Compare two arms over the seeds and folds that both have; None without any."""
    theirs = {(row["seed"], row["fold"]): row for row in reference}
    both = [row for row in rows if (row["seed"], row["fold"]) in theirs]
    if not both:
        return None
    first, second = [], []
    targets, groups, repeats, rarest = [], [], [], {}
    for row in both:
        place = (row["seed"], row["fold"])
        split = Split.load(split_path(work, row["draw"], *place))
        held = split.part("test")
        names = list(counts_of(split, "test"))
        one, two = (decoded(answers["answers"]) for answers in (row, theirs[place]))
        if not len(one) == len(two) == len(held):
            raise SystemExit(f"{row['arm']}, {place}: other images than the split's")
        first += one
        second += two
        targets += [names.index(image.label or "") for image in held]
        groups += [image.group or image.path for image in held]
        repeats += [row["seed"]] * len(held)
        rarest[row["seed"]] = names.index(rarest_of(split))
    asked = Asked(
        np.array(targets), np.array(groups), np.array(repeats), rarest, len(names)
    )
    return compare(asked, np.array(first), np.array(second))


def rarest_of(split: Split) -> str:
    """Return the class with the fewest labels, the first of several."""
    counts = counts_of(split, "labeled")
    return min(counts, key=lambda name: counts[name])
