"""Whether a run's images suffice, and how its unlabelled branch fared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from uda.data.multilabel import class_names
from uda.data.splits import Split, SplitRow
from uda.data.table import shown
from uda.intervals import clopper_pearson
from uda.reporting.curves import last
from uda.reporting.rundata import RunData
from uda.training.monitor import tags

# Below this many groups of a class its threshold is noise, and a recall of all right
# proves less than 0.7.
_FEW_LABELS = 10
_PROVES = 0.8  # the least that a test part should be able to prove
_PARTS = ("labeled", "validation", "test")


@dataclass(frozen=True)
class ClassCount:
    """Images and groups of one class in each part.

    Attributes:
        name: of the class.
        images: by part (labeled, validation, test).
        groups: the same in independent groups.
        proves: lower bound of recall if all test groups were right.
        low: the parts that are too small.
        verdict: what that means; empty where all suffice.
    """

    name: str
    images: dict[str, int]
    groups: dict[str, int]
    proves: float
    low: frozenset[str]
    verdict: str


def class_counts(split: Split, classes: Sequence[str]) -> list[ClassCount]:
    """Count the images of each class in each part of a split."""
    rows = [row for row in split.rows if row.part in _PARTS and row.label]
    return [_count(name, rows, classes) for name in classes]


def _count(name: str, rows: Sequence[SplitRow], classes: Sequence[str]) -> ClassCount:
    mine = [
        row
        for row in rows
        if row.label == name
        or (row.label not in classes and name in class_names([row.label]))
    ]
    by_part = {part: [row for row in mine if row.part == part] for part in _PARTS}
    groups = {part: len({row.unit for row in found}) for part, found in by_part.items()}
    proves = clopper_pearson(groups["test"], groups["test"]).low
    low, told = set(), []
    if groups["labeled"] < _FEW_LABELS:
        low.add("labeled")
        told.append("few labels: label more, or expect chance to decide")
    if groups["validation"] < _FEW_LABELS:
        low.add("validation")
        told.append("few validation images: their curve is mostly noise")
    if not groups["test"]:
        low.add("test")
        told.append("no test image: nothing can be said of it")
    elif proves < _PROVES:
        low.add("test")
        told.append(f"all right would prove a recall of only {proves:.2f}")
    return ClassCount(
        name,
        {part: len(found) for part, found in by_part.items()},
        groups,
        proves,
        frozenset(low),
        "; ".join(told),
    )


def number_unlabeled(run: RunData) -> int:
    """Return the unlabelled images of a run's split."""
    return len(run.split.part("unlabeled")) if run.split else 0


def reference_mix(run: RunData) -> tuple[list[float] | None, str]:
    """Return the (C,) shares that pseudo-labels are held against, and their source."""
    stated = (run.config.get("consistency") or {}).get("prior")
    if isinstance(stated, dict) and set(run.classes) <= set(stated):
        total = sum(float(stated[name]) for name in run.classes)
        return [float(stated[name]) / total for name in run.classes], "stated prior"
    if run.split is None or not run.classes:
        return None, ""
    counts = [c.images["labeled"] for c in class_counts(run.split, run.classes)]
    if not sum(counts):
        return None, ""
    return [count / sum(counts) for count in counts], "labelled images"


def branch_facts(run: RunData) -> list[tuple[str, str]]:
    """Return what is known of the unlabelled branch: (name, in words)."""
    found: list[tuple[str, str]] = []
    status = run.status
    skill, trust = status.get("skill"), status.get("trust")
    if trust is not None:
        of = "" if skill is None else f" (cross-validated skill {_two(skill)})"
        found.append(
            ("Trust in the labels", f"the branch gets {_percent(trust)} weight{of}")
        )
    mask = last(run, tags.MASK_RATE)
    if mask is not None:
        found.append(
            ("Mask rate at the end", f"{_percent(mask)} of the unlabelled images teach")
        )
    right = last(run, "unlabeled/pseudo_right")
    if right is not None:
        found.append(
            (
                "Pseudo-labels that are right",
                f"{_percent(right)} of those of unlabelled images whose true class the "
                "split knows",
            )
        )
    factor = status.get("guard_factor", last(run, "unlabeled/guard_factor"))
    if factor is not None:
        found.append(("Guard", _guard(float(factor))))
    # The status tells of what was handed over, which need not be the network.
    warm, final = status.get("warm_start"), last(run, "val_ema/balanced_accuracy")
    if isinstance(warm, dict):
        told = f"balanced accuracy on validation {_two(warm.get('balanced_accuracy'))}"
        told += f" ± {_two(warm.get('standard_error'))}"
        if final is not None:
            told += f"; the network at the last step {_two(final)}"
        found.append(("Warm start", told))
    if status.get("handed_over"):
        found.append(("Handed over", _handed(str(status["handed_over"]))))
    return found


def _guard(factor: float) -> str:
    if factor >= 1:
        return (
            "full weight: at its last look the teacher was no worse than the warm start"
        )
    if factor > 0:
        return f"weight cut to {_percent(factor)}: the teacher was below the warm start"
    return "switched off: the teacher fell below the warm start three times in a row"


def _handed(what: str) -> str:
    told = {
        "final": "the final averaged weights",
        "warm start": "the warm start, as the end was worse on validation",
        "texture": "the texture teacher, as the network was not clearly ahead",
    }
    return told.get(what, shown(what))


def alarms(run: RunData) -> list[dict[str, Any]]:
    """Return the alarms that were on when the run ended."""
    found = run.status.get("alarms") or []
    return [alarm for alarm in found if isinstance(alarm, dict) and "seen" in alarm]


def _percent(value: float) -> str:
    return f"{100 * float(value):.0f}%"


def _two(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "n/a"
