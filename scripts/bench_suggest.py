"""Suggestions against labels drawn at random, on the training part of neu.

The classifier is that of `--method texture` at 64 pixels, fitted in this process;
features and kinship are those of `uda suggest`. The test part is never read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _arms import DRAWS
from _common import PROJECT, write_between
from sklearn.metrics import balanced_accuracy_score

from uda.data.duplicates import find_groups
from uda.data.preprocessing import Preprocessing
from uda.data.records import scan
from uda.evaluation import ranking
from uda.evaluation.ranking import REASONS, Reason, Scores
from uda.models.texture import TextureClassifier, texture_features
from uda.rng import generator

PAGE = PROJECT / "docs" / "suggest.md"
DRAW = DRAWS["neu"]
RARE = (6, 4, 3)  # labels of the classes that count as rare
BUDGET, ROUND, ROUNDS, MOST_ROUNDS = 50, 20, 3, 15
Rows = npt.NDArray[np.int64]
Size = Callable[[int, int], int]  # (class, its labels) -> most images in the pile


@dataclass(frozen=True)
class Set:
    """The training part of neu: what a ranking may look at, and the truth."""

    classes: tuple[str, ...]
    truth: Rows
    groups: npt.NDArray[np.str_]
    coarse: npt.NDArray[np.float32]
    fine: npt.NDArray[np.float32]
    kin: dict[int, list[int]]


def read(folder: Path) -> Set:
    catalog = scan(folder)
    records = [record for record in catalog.records if record.part == "train"]
    features = []
    for side in (64, 192):
        how = Preprocessing((side, side), 1, "letterbox", None, (0.5,), (0.2,))
        images = np.stack([how.read(record.file) for record in records])
        features.append(texture_features(images, threads=1))
    kin: dict[int, list[int]] = {}
    for pair in find_groups(records).pairs:
        kin.setdefault(pair.first, []).append(pair.second)
        kin.setdefault(pair.second, []).append(pair.first)
    number = {name: place for place, name in enumerate(catalog.classes)}
    truth = np.array([number[str(record.label)] for record in records])
    groups = np.array([record.group or record.path for record in records])
    return Set(catalog.classes, truth, groups, features[0], features[1], kin)


def draw(
    data: Set, seed: int, size: Size, *, without: int = -1, held_out: Rows | None = None
) -> tuple[Rows, Rows]:
    """Return labelled rows, one per group first, and the rows of the pile."""
    rng = generator(seed, "bench-suggest")
    counts = list(DRAW.labels(data.classes, seed).values())
    labels, pile = [], []
    for place in range(len(data.classes)):
        rows = rng.permutation(np.flatnonzero(data.truth == place))
        if held_out is not None:
            rows = rows[~np.isin(rows, held_out)]
        _, first = np.unique(data.groups[rows], return_index=True)
        lead = np.sort(first)
        rows = np.concatenate([rows[lead], np.delete(rows, lead)])
        num = counts[place]
        labels.append(rows[: 0 if place == without else num])
        rest = rng.permutation(rows[num:])
        pile.append(rest[: size(place, num)])
    return np.concatenate(labels), np.sort(np.concatenate(pile))


def fit(data: Set, labeled: Rows) -> TextureClassifier:
    num = len(data.classes)
    return TextureClassifier.fit(data.coarse[labeled], data.truth[labeled], num)


def suggest(
    data: Set,
    labeled: Rows,
    pile: Rows,
    budget: int,
    reasons: Sequence[Reason] = REASONS,
) -> Rows:
    """Return what `uda suggest` would: a class without labels is unknown to it."""
    counts = np.bincount(data.truth[labeled], minlength=len(data.classes))
    known = counts > 0
    log_probs = fit(data, labeled).predict_log_proba(data.coarse[pile])
    probs = np.exp(log_probs)[:, known]
    place = {row: number for number, row in enumerate(pile.tolist())}
    kin = {
        place[row]: [place[k] for k in data.kin.get(row, ()) if k in place]
        for row in pile.tolist()
    }
    taught = set(labeled.tolist())
    out = np.array([bool(taught & set(data.kin.get(r, ()))) for r in pile.tolist()])
    points, anchors = ranking.directions(data.fine[pile], data.fine[labeled])
    scores = Scores(
        ranking.uncertainty(probs),
        ranking.rarity(probs, ranking.rare_weights(counts[known], probs)),
        ranking.novelty(points, anchors, kin),
    )
    found = ranking.choose(scores, points, budget, kin=kin, out=out, reasons=reasons)
    return pile[[number for number, _ in found]]


def everything(place: int, num: int) -> int:
    del place, num
    return 10_000


def as_labels(place: int, num: int) -> int:
    """Thin the pile to the ratio of the labels: 170, 85, 42, 25, 17, 12 images."""
    del place
    return int(4.25 * num)


def spread(values: Sequence[float], digits: int = 2) -> str:
    low, high = min(values), max(values)
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def rare_table(data: Set, seeds: Sequence[int]) -> list[str]:
    lines = [
        "| seed | pile | rare in it | of 50 random | of 50 suggested | times |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    times = []
    for seed in seeds:
        labeled, pile = draw(data, seed, as_labels)
        counts = list(DRAW.labels(data.classes, seed).values())
        rare = np.array([counts[truth] in RARE for truth in data.truth])
        expected = BUDGET * rare[pile].mean()
        found = int(rare[suggest(data, labeled, pile, BUDGET)].sum())
        times.append(found / expected)
        lines.append(
            f"| {seed} | {len(pile)} | {rare[pile].sum()} | {expected:.1f} | {found} | "
            f"{times[-1]:.1f} |"
        )
    return [*lines, f"| all | | | | | {spread(times, 1)} |"]


def new_table(data: Set, seeds: Sequence[int]) -> list[str]:
    lines = [
        "| left out | share of the pile | of the first 10 | of the first 50 | "
        "`--reason novel`: of 10 | of 50 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for few in (None, 20):
        every: list[list[float]] = []
        for place, name in enumerate(data.classes):
            rows = [_new(data, seed, place, few) for seed in seeds]
            every += rows
            lines.append(_new_row(name, rows))
        words = (
            "**all, as many as there are**" if few is None else f"**all, {few} each**"
        )
        lines.append(_new_row(words, every))
    return lines


def _new_row(name: str, rows: Sequence[Sequence[float]]) -> str:
    share, *found = (list(column) for column in zip(*rows, strict=True))
    cells = [f"{np.mean(share):.3f}", *(spread(values) for values in found)]
    return f"| {name} | {' | '.join(cells)} |"


def _new(data: Set, seed: int, place: int, few: int | None) -> list[float]:
    """Return the share of a class without labels in the pile and in suggestions."""

    def size(other: int, num: int) -> int:
        return few if few is not None and other == place else everything(other, num)

    labeled, pile = draw(data, seed, size, without=place)
    usual = suggest(data, labeled, pile, BUDGET)
    alone = suggest(data, labeled, pile, BUDGET, ["novel"])
    new = data.truth == place
    found = (pile, usual[:10], usual, alone[:10], alone)
    return [float(new[rows].mean()) for rows in found]


def rounds(
    data: Set, seed: int, size: Size, *, target: float | None = None
) -> list[float]:
    """Return balanced accuracy on held-out groups before and after each round.

    Three rounds of suggestions; with a target, rounds at random until it is reached.
    """
    rng = generator(seed, "bench-suggest/rounds")
    names = rng.permutation(np.unique(data.groups))
    held_out = np.flatnonzero(np.isin(data.groups, names[: len(names) // 3]))
    labeled, pile = draw(data, seed, size, held_out=held_out)
    found: list[float] = []
    while True:
        answers = fit(data, labeled).predict_log_proba(data.coarse[held_out]).argmax(1)
        found.append(float(balanced_accuracy_score(data.truth[held_out], answers)))
        enough = target is None or found[-1] >= target or len(found) > MOST_ROUNDS
        if len(pile) < ROUND or (len(found) > ROUNDS and enough):
            return found
        if target is None:
            chosen = suggest(data, labeled, pile, ROUND)
        else:
            chosen = rng.permutation(pile)[:ROUND]
        labeled = np.concatenate([labeled, chosen])
        pile = np.setdiff1d(pile, chosen)


def round_table(data: Set, seeds: Sequence[int]) -> list[str]:
    lines = [
        "| pile | labels by | none | 20 | 40 | 60 | labels for what 60 suggested "
        "reach, by seed |",
        "|---|---|---|---|---|---|---|",
    ]
    piles: list[tuple[str, Size]] = [
        ("whole", everything),
        ("as the labels", as_labels),
    ]
    for words, size in piles:
        mine = [rounds(data, seed, size) for seed in seeds]
        others = [
            rounds(data, seed, size, target=curve[ROUNDS])
            for seed, curve in zip(seeds, mine, strict=True)
        ]
        needed = [
            _needed(other, curve[ROUNDS])
            for other, curve in zip(others, mine, strict=True)
        ]
        for name, curves, last in (
            ("chance", others, ", ".join(needed)),
            ("`uda suggest`", mine, str(ROUND * ROUNDS)),
        ):
            cells = [
                spread([curve[step] for curve in curves], 3)
                for step in range(ROUNDS + 1)
            ]
            lines.append(f"| {words} | {name} | {' | '.join(cells)} | {last} |")
    return lines


def _needed(curve: Sequence[float], target: float) -> str:
    steps = [step for step, value in enumerate(curve) if value >= target]
    return str(ROUND * steps[0]) if steps else f"over {ROUND * (len(curve) - 1)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(2, 12)])
    parser.add_argument("--print", action="store_true", help="leave the page alone")
    chosen = parser.parse_args()
    if "UDA_DATA" not in os.environ:
        parser.error("set UDA_DATA to the folder that holds neu/")
    data = read(Path(os.environ["UDA_DATA"]) / "neu")
    for name, table in (
        ("rare", rare_table), ("new", new_table), ("rounds", round_table),
    ):  # fmt: skip
        lines = table(data, chosen.seeds)
        sys.stdout.write("\n".join([*lines, ""]) + "\n")
        sys.stdout.flush()
        if not chosen.print:
            write_between(f"suggest {name}", lines, PAGE)
    sys.stdout.write(f"{time.process_time() / 60:.1f} CPU minutes\n")


if __name__ == "__main__":
    main()
