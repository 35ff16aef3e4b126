"""What a study says, and its files: table.csv, verdict.txt, verdict.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uda.data.splits import Split
from uda.errors import UsageError
from uda.files import atomic_write, read_json, write_csv, write_json
from uda.study import verdict
from uda.study.answers import Answers, read_answers
from uda.study.curve import Curve, curve_of
from uda.study.findings import MAIN, Findings, Row, find
from uda.study.request import Planned, Request

_VIEW = "asked.json"  # reference and good class, until there is a report

TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "rarest_recall": "rarest class's recall",
    "escape": "escape",
    "overkill": "overkill",
}


@dataclass(frozen=True)
class Report:
    """What a study says.

    Attributes:
        findings: the numbers.
        lines: the verdict, a sentence each.
        choice: what to train in the end; None where nothing can be chosen.
        curve: where the study is a learning curve.
        text: verdict, choice and method, as verdict.txt holds them.
        facts: plain values for verdict.json.
    """

    findings: Findings
    lines: list[str]
    choice: verdict.Choice | None
    curve: Curve | None
    text: str
    facts: dict[str, Any]


def reference_of(plan: Sequence[Planned], named: str | None) -> str:
    """Return the strategy to compare to: the named one, or the plain supervised one.

    That is the first with ``--method supervised``, or else the first of all.

    Raises:
        UsageError: no strategy has the name.
    """
    names = [planned.strategy.name for planned in plan]
    if named is not None:
        if named not in names:
            raise UsageError(
                f"--reference {named!r}: not a strategy; choose one of "
                f"{', '.join(names)}"
            )
        return named
    plain = (p.strategy.name for p in plan if p.keys.get("method") == "supervised")
    return next(plain, names[0])


def report_study(
    folder: Path,
    request: Request,
    plan: Sequence[Planned],
    split: Split,
    *,
    reference: str | None = None,
    good_class: str | None = None,
) -> Report:
    """Read a study's finished cells; return what they tell.

    Args:
        folder: of the study.
        request: of the study.
        plan: its strategies.
        split: the user's, without its test part.
        reference: see `reference_of`.
        good_class: of parts without a defect, for escape and overkill.

    Raises:
        UsageError: no such reference or class.
        DataError: answers that cannot be used.
    """
    named = reference_of(plan, reference)
    answers = read_answers(folder, request, plan, split)
    if good_class is not None and good_class not in answers.classes:
        raise UsageError(
            f"--good-class {good_class!r} is not a class; choose one of "
            f"{', '.join(answers.classes)}"
        )
    findings = find(answers, reference=named, good_class=good_class, seed=request.seed)
    curve = curve_of(answers, plan, seed=request.seed) if request.shares else None
    lines = (
        [*curve.lines(), *verdict.unread(findings)]
        if curve
        else verdict.lines(findings)
    )
    choice = verdict.choose(findings)
    words = [*lines]
    if curve is None and findings.complete and choice:
        words += ["", f"To train in the end: {choice.why}."]
    text = "\n".join([*words, "", *method(request)]) + "\n"
    facts = {
        **_facts(request, plan, answers, findings),
        "good_class": good_class,
        "lines": lines,
        "choice": asdict(choice) if choice else None,
        "curve": curve.facts() if curve else None,
    }
    return Report(findings, lines, choice, curve, text, facts)


def write_report(folder: Path, report: Report) -> None:
    """Write table.csv, verdict.txt and verdict.json into a study."""
    measures = shown_measures(report.findings)
    header = ["strategy", "cells", "failed", "seconds", "chance_best"]
    for name in measures:
        header += [name, f"{name}_gap", f"{name}_low", f"{name}_high"]
    rows = [_csv_row(row, measures) for row in report.findings.rows]
    write_csv(folder / "table.csv", header, rows)
    atomic_write(folder / "verdict.txt", report.text)
    write_json(folder / "verdict.json", report.facts)


def last_view(folder: Path) -> tuple[str | None, str | None]:
    """Return reference and good class of the study's last report, where it has one."""
    for name in ("verdict.json", _VIEW):
        if (folder / name).is_file():
            facts = read_json(folder / name)
            return facts.get("reference"), facts.get("good_class")
    return None, None


def keep_view(folder: Path, reference: str | None, good_class: str | None) -> None:
    """Note for `last_view` what was asked for, before there is any report."""
    view = {"reference": reference, "good_class": good_class}
    write_json(folder / _VIEW, view)


def shown_measures(findings: Findings) -> list[str]:
    """Return the measures in the order in which tables show them."""
    return [name for name in TITLES if name in findings.measures]


def _csv_row(row: Row, measures: Sequence[str]) -> list[object]:
    cells: list[object] = [row.name, row.cells, row.failed, row.seconds, row.best]
    for name in measures:
        gap = row.gaps.get(name)
        cells.append(row.values.get(name))
        cells += [gap.value, *gap.interval] if gap else [None] * 3
    return ["" if cell is None else cell for cell in cells]


def method(request: Request) -> list[str]:
    """Return in words how the numbers came about."""
    repeats = "once" if request.repeats == 1 else f"{request.repeats} times"
    return [
        f"How: {request.folds} grouped folds of the labelled and validation images, "
        f"dealt {repeats}; the test part was not read. Length of every training: "
        f"{request.length_words}. Seeds and folds are the same for all.",
        "Numbers are of the pooled answers of a repeat, then the mean over repeats. "
        "The interval shown holds two of 95 %: of draws of whole groups (other images) "
        "and of the corrected resampled t-test (other trainings). A gain or loss is "
        "claimed where both hold for all comparisons together (Bonferroni).",
    ]


def _facts(
    request: Request,
    plan: Sequence[Planned],
    answers: Answers,
    findings: Findings,
) -> dict[str, Any]:
    flags = {p.strategy.name: _flags(p) for p in plan}
    return {
        "format": 1,
        "title": Path(request.data).name,
        "reference": findings.reference,
        "measures": {name: TITLES[name] for name in shown_measures(findings)},
        "main": MAIN,
        "rarest": findings.rarest[0],
        "method": method(request),
        "cells": [findings.finished, findings.wanted],
        "classes": [
            {"name": name, "images": images, "groups": groups}
            for name, images, groups in zip(
                answers.classes, answers.counts, answers.groups, strict=True
            )
        ],
        "rows": [_row_facts(row, flags[row.name]) for row in findings.rows],
    }


def _flags(planned: Planned) -> str:
    strategy = planned.strategy
    done = [f"{key}: {word}" for key in ("tta", "tune")
            if (word := getattr(strategy, key))]  # fmt: skip
    if strategy.of is not None:
        return f"models of {strategy.of}, {', '.join(done)}"
    return " ".join(strategy.flags) or "the defaults of uda train"


def _row_facts(row: Row, flags: str) -> dict[str, Any]:
    main = row.gaps.get(MAIN)
    return {
        "name": row.name,
        "flags": flags,
        "values": dict(row.values),
        "gaps": {
            name: {
                "value": gap.value,
                "interval": list(gap.interval),
            }
            for name, gap in row.gaps.items()
        },
        "standing": verdict.standing(main) if main else None,
        "best": row.best,
        "cells": row.cells,
        "failed": row.failed,
        "errors": list(row.errors),
        "seconds": row.seconds,
    }
