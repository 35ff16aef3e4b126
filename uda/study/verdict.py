"""A study's findings in words: who gains, who loses, what cannot be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from uda.data.table import listing
from uda.study.findings import MAIN, Findings, Gap, Row

Standing = Literal["gain", "loss", "unclear"]
_MINUS = "−"


@dataclass(frozen=True)
class Choice:
    """The strategy to take, and why, in words."""

    name: str
    why: str


def standing(gap: Gap) -> Standing:
    """Return what a difference shows, luck among all comparisons considered.

    A single fold cannot tell what other trainings would give, so it shows nothing.
    """
    if gap.trainings is None:
        return "unclear"
    low, high = gap.joint
    if low > 0:
        return "gain"
    return "loss" if high < 0 else "unclear"


def points(value: float) -> str:
    """Return a share or difference in points: 0.061 is ``6.1``."""
    text = f"{abs(value) * 100:.1f}"
    return f"{_MINUS}{text}" if value < 0 and text != "0.0" else text


def between(gap: Gap) -> str:
    """Return the interval in points, ``2.0 to 10.3``."""
    low, high = gap.interval
    return f"{points(low)} to {points(high)}"


def lines(findings: Findings) -> list[str]:
    """Return the verdict, one sentence per strategy, the surest first."""
    found = [_opening(findings)]
    rows = [row for row in findings.rows if MAIN in row.gaps]
    rows.sort(key=lambda row: -row.gaps[MAIN].value)
    by_standing: dict[Standing, list[Row]] = {"gain": [], "loss": [], "unclear": []}
    for row in rows:
        by_standing[standing(row.gaps[MAIN])].append(row)
    found += [_gain(row, findings) for row in by_standing["gain"]]
    found += [_loss(row, findings) for row in by_standing["loss"]]
    found += _unclear(by_standing["unclear"], findings)
    found += [_failed(row, findings) for row in findings.rows if row.errors]
    found += unread(findings)
    found += _winner(findings)
    return [line for line in found if line]


def _opening(findings: Findings) -> str:
    row = findings.row(findings.reference)
    if MAIN not in row.values:
        what = (
            "no answers: all its cells failed; compare to another with --reference"
            if row.failed == findings.num_cells
            else "no answers yet"
        )
        return f"The reference, {findings.reference}, has {what}."
    text = (
        f"Everything is compared to {findings.reference} (balanced accuracy "
        f"{points(row.values[MAIN])})."
    )
    total = findings.num_cells * len(findings.rows)
    if findings.finished < total:
        text += (
            f" {findings.finished} of {total} cells are finished: not the last word."
        )
    return text


def _gain(row: Row, findings: Findings) -> str:
    gap = row.gaps[MAIN]
    return (
        f"{row.name} gains {points(gap.value)} points of balanced accuracy over "
        f"{findings.reference}, interval {between(gap)}."
    )


def _loss(row: Row, findings: Findings) -> str:
    gap = row.gaps[MAIN]
    return (
        f"{row.name} loses {points(-gap.value)} points of balanced accuracy against "
        f"{findings.reference}, interval {between(gap)}."
    )


def _unclear(rows: list[Row], findings: Findings) -> list[str]:
    """Say of what nothing is shown, and why: few folds, luck, or few images."""
    rarest, images, groups = findings.rarest
    early = [row for row in rows if row.gaps[MAIN].trainings is None]
    rest = [row for row in rows if row.gaps[MAIN].trainings is not None]
    hints = [row for row in rest if not _holds_zero(row.gaps[MAIN])]
    equal = [row for row in rest if _holds_zero(row.gaps[MAIN])]
    told = [
        (hints, f"A hint, but no more than luck could give among {findings.compared} "
         "comparisons"),
        (equal, f"No difference that these images, {images} of them {rarest} "
         f"({groups} groups), can show"),
        (early, "One fold alone shows nothing"),
    ]  # fmt: skip
    return [f"{what}: {_listed(rows)}." for rows, what in told if rows]


def _holds_zero(gap: Gap) -> bool:
    low, high = gap.interval
    return low <= 0 <= high


def _listed(rows: list[Row]) -> str:
    """Return names with differences and intervals, in points."""
    return "; ".join(
        f"{row.name} ({_signed(row.gaps[MAIN].value)}, {between(row.gaps[MAIN])})"
        for row in rows
    )


def _signed(value: float) -> str:
    text = points(value)
    return text if text.startswith(_MINUS) or text == "0.0" else f"+{text}"


def _failed(row: Row, findings: Findings) -> str:
    return (
        f"{row.name}: {row.failed} of {findings.num_cells} cells failed and are in no "
        f"number: {row.errors[0]}"
    )


def unread(findings: Findings) -> list[str]:
    """Say how many images are in no number, as they could not be read."""
    paths = findings.unread
    if not paths:
        return []
    images, are = ("images", "are") if len(paths) > 1 else ("image", "is")
    return [
        f"{len(paths)} {images} could not be read and {are} in no number: "
        f"{listing(paths)}."
    ]


def _winner(findings: Findings) -> list[str]:
    """Say who leads, how likely that is, and what choosing the best costs."""
    ranked = [row for row in findings.rows if row.best is not None]
    if len(ranked) < 2 or findings.optimism is None:
        return []
    leader = max(ranked, key=lambda row: row.values[MAIN])
    value, optimism = leader.values[MAIN], findings.optimism
    return [
        f"Highest here: {leader.name} ({points(value)}). Of these {len(ranked)} "
        f"trained models it would be the best on {leader.best or 0:.0%} of other draws "
        "of images; other labels or seeds are another matter, see the intervals. The "
        f"best of {len(ranked)} looks better than it is, by about {points(optimism)} "
        f"points: expect {points(value - optimism)}."
    ]


def choose(findings: Findings) -> Choice | None:
    """Choose what to train in the end; None where the reference has no answers.

    The best of those whose gain over the reference is shown; without one the first
    in the list, which goes from simple to complex, that is not shown to be worse.
    """
    if not findings.row(findings.reference).cells:
        return None
    rows = [row for row in findings.rows if row.best is not None]
    gains = [r for r in rows if MAIN in r.gaps and standing(r.gaps[MAIN]) == "gain"]
    if gains:
        best = max(gains, key=lambda row: row.values[MAIN])
        gap = best.gaps[MAIN]
        return Choice(
            best.name,
            f"{best.name}, the highest of those whose gain over {findings.reference} "
            f"is shown ({points(gap.value)} points, interval {between(gap)})",
        )
    for row in rows:
        if MAIN not in row.gaps or standing(row.gaps[MAIN]) != "loss":
            return Choice(
                row.name,
                f"{row.name}, as no gain over {findings.reference} is shown, and of "
                "those not shown to be worse it is the simplest (the first in the "
                "list)",
            )
    return Choice(findings.reference, f"{findings.reference}, the reference")
