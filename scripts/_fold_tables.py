"""Tables of the fold suites: pooled out-of-fold numbers and paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
from _arms import DRAWS, SAME, SUITES, SUPERVISED, Suite
from _common import PROJECT, Row, write_between, write_rows
from _folds import Cell, counts_of, finished, split_path

from uda.data.splits import Split
from uda.evaluation.paired import MEASURES, Asked, Difference, compare
from uda.evaluation.predict import Predictions

COLUMNS = (
    "draw", "length", "seed", "fold", "arm", "steps", "seconds", "macro_f1",
    "balanced_accuracy", "rarest", "rarest_recall", "validation", "trust",
    "handed_over", "mask_rate", "pseudo_right",
)  # fmt: skip
HEADER = (
    "| arm | runs | steps | seconds | macro-F1 | balanced accuracy | rarest class's "
    "recall | trust | kept | right among the kept |"
)


def write_suite(name: str, work: Path) -> None:
    """Write docs/results_NAME.csv and the suite's tables of docs/results.md."""
    rows = [row for draw in DRAWS for row in finished(work, draw, SUITES[name].arms)]
    kept = [{key: row.get(key) for key in COLUMNS} for row in rows]
    write_rows(PROJECT / "docs" / f"results_{name}.csv", COLUMNS, kept)
    write_between(name, tables(SUITES[name], rows, work))


def tables(suite: Suite, rows: list[Row], work: Path) -> Iterator[str]:
    """Yield the lines of one table per draw and length."""
    own = set(suite.arms) - set(SUITES["default"].arms)
    places = sorted({(row["draw"], row["length"]) for row in rows})
    for draw, length in sorted(places, key=lambda p: (list(DRAWS).index(p[0]), p[1])):
        mine = [r for r in rows if (r["draw"], r["length"]) == (draw, length)]
        if own and not any(row["arm"] in own for row in mine):
            continue  # that table is among those of the suite `default`
        every_label = DRAWS[draw].share == 1 and SUPERVISED in suite.arms
        wanted = SUPERVISED if every_label else suite.reference
        reference = [r for r in mine if r["arm"] == wanted]
        if not reference:
            continue
        yield f"\n**{draw}** ({DRAWS[draw].words}); length of a run: {length}.\n"
        yield HEADER
        yield "|" + "---|" * HEADER.count(" | ") + "---|"
        for arm in suite.arms:
            part = [row for row in mine if row["arm"] == arm]
            if part:
                yield line(arm, part, reference, work)


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
        one, two = (load(work, cell) for cell in (row, theirs[place]))
        if one.ids != two.ids:
            raise SystemExit(f"{row['arm']}, {place}: other images than the reference")
        first.append(one.predicted)
        second.append(two.predicted)
        targets.append(one.targets)
        groups += [split.by_path[path].group or path for path in one.ids]
        repeats += [row["seed"]] * len(one.ids)
        rarest[row["seed"]] = one.classes.index(rarest_of(split))
    asked = Asked(
        np.concatenate(targets), np.array(groups), np.array(repeats), rarest,
        len(one.classes),
    )  # fmt: skip
    return compare(asked, np.concatenate(first), np.concatenate(second))


def load(work: Path, row: Row) -> Predictions:
    """Read the answers of a finished cell."""
    arm = SAME.get(row["arm"], row["arm"])
    cell = Cell(row["draw"], row["length"], row["seed"], row["fold"], arm)
    return Predictions.load(cell.folder(work) / "predictions.npz")


def rarest_of(split: Split) -> str:
    """Return the class with the fewest labels, the first of several."""
    counts = counts_of(split, "labeled")
    return min(counts, key=lambda name: counts[name])
