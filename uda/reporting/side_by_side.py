"""Two or more evaluated runs side by side, as plain text: who finds what.

Reads what ``uda evaluate`` wrote on one test part; computes no metric anew.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uda.files import read_json
from uda.intervals import clopper_pearson
from uda.reporting.text import short, table

_COSTS = {
    "escape": "defective parts passed as good",
    "overkill": "good parts rejected",
}


def comparison_lines(
    evaluations: Mapping[str, Path], labelled: Mapping[str, int]
) -> list[str]:
    """Return tables of recall, precision and costs, one column per run.

    Args:
        evaluations: name of a run -> its ``evaluation/test`` folder; all of them
            on the same images, with a good class named.
        labelled: labelled training images per class.
    """
    found: dict[str, Any] = {}
    for name, folder in evaluations.items():
        metrics = read_json(folder / "metrics.json")
        found[name] = metrics["weights"][metrics["main_weights"]]
    costs = [[label, *_cells(found, key)] for key, label in _COSTS.items()]
    return [
        "Recall: of the parts of a class, how many were found (95 % interval)",
        *table([*_by_class(found, "recall", labelled), _mean(found, "mean")]),
        "",
        "Precision: of the parts called so, how many are (95 % interval)",
        *table([*_by_class(found, "precision", labelled), _mean(found, "macro-F1")]),
        "",
        "What a factory pays for (95 % interval)",
        *table([["", *found], *costs]),
    ]


def duel_lines(uda: Path, supervised: Path) -> list[str]:
    """Say whether the test part can tell UDA from its baseline at all.

    A sign test on the images that one run alone gets right.

    Args:
        uda: the ``evaluation/test`` folder of the UDA run.
        supervised: that of the baseline, on the same images.
    """
    right, other = _right(uda), _right(supervised)
    alone, disputed = len(right - other), len(right ^ other)
    if not disputed:
        return ["Both methods are right on the same test photos."]
    low, high = clopper_pearson(alone, disputed)
    if low > 0.5:
        verdict = "More are right with UDA, beyond chance; the tables say which pay."
    elif high < 0.5:
        verdict = "Fewer are right with UDA, beyond chance; the tables say which."
    else:
        verdict = "50 % lies inside: this test part cannot tell them apart."
    return [
        f"On {disputed} test photos one method alone is right: UDA on {alone}, or "
        f"{alone / disputed:.0%} ({low:.0%}-{high:.0%}).",
        verdict,
    ]


def _by_class(
    found: Mapping[str, Any], metric: str, labelled: Mapping[str, int]
) -> list[list[str]]:
    rows = [[metric, "labelled", "test", *found]]
    first = next(iter(found.values()))
    for number, name in enumerate(first["classes"]):
        entries = [run["per_class"][number] for run in found.values()]
        cells = [_shown(entry[metric]) for entry in entries]
        images = [str(labelled.get(name, 0)), str(entries[0]["images"])]
        rows.append([short(name), *images, *cells])
    return rows


def _mean(found: Mapping[str, Any], label: str) -> list[str]:
    key = "balanced_accuracy" if label == "mean" else "macro_f1"
    return [label, "", "", *_cells(found, key)]


def _cells(found: Mapping[str, Any], key: str) -> list[str]:
    return [_shown(run[key]) for run in found.values()]


def _shown(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "n/a"
    low, high = estimate["interval"]
    return f"{estimate['value']:.2f} ({low:.2f}-{high:.2f})"


def _right(folder: Path) -> set[str]:
    """Return the paths of the images that a run got right."""
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return {row["path"] for row in rows if row["class"] == row["target"]}
