"""The report of a run: one HTML page from its folder, the answer first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import uda
from uda.errors import UsageError
from uda.evaluation.estimates import GOOD_CLASS, OVERALL
from uda.evaluation.multilabel import OVERALL_LABELS
from uda.files import atomic_write
from uda.reporting import curves, detail, health, runtext, sentences
from uda.reporting.folds import fold_block
from uda.reporting.page import render
from uda.reporting.ruletext import rule_sentences
from uda.reporting.rundata import Evaluated, RunData, read_run
from uda.reporting.text import whose
from uda.reporting.verdict import write_verdict
from uda.run.environment import anonymous
from uda.run.layout import NETWORK, open_run

STUDY = "study.json"  # what makes a folder a study
_TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "macro_ap": "mean average precision",
    "exact_match": "exact match",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
    "escape": "escape: defective parts passed",
    "escape_shipped": "escape: share of the passed parts",
    "overkill": "overkill: good parts rejected",
}


def write_report(folder: Path, out: Path | None = None, *, images: bool = True) -> Path:
    """Write a run's report, or a study's verdict; an earlier one is replaced.

    Args:
        folder: a run, a folder of runs with ``latest``, or a study.
        out: the file; ``report.html`` (``verdict.html``) in the folder when None.
        images: off leaves out thumbnails, maps and views.

    Returns:
        Where it was written.

    Raises:
        CheckpointError: no run there.
        DataError: one of its files is damaged.
        UsageError: a study, which has no images to leave out.
    """
    # The one place where a study parts from a run.
    if (folder / STUDY).is_file():
        if not images:
            raise UsageError(
                "--no-thumbnails has no effect on a study: its page holds no images; "
                "leave it out"
            )
        return write_verdict(folder, out)
    run = open_run(folder)
    page = render("report.html", **contents(read_run(run, images=images), images))
    target = run.path / "report.html" if out is None else out
    atomic_write(target, page)
    return target


def contents(run: RunData, images: bool = True) -> dict[str, Any]:
    """Return what the template prints."""
    reference, reference_name = health.reference_mix(run)
    bars, step = curves.pseudo_bars(run, reference)
    counts = health.class_counts(run.split, run.classes) if run.split else []
    evaluations = [
        _evaluation(one, run, images, number)
        for number, one in enumerate(run.evaluations)
    ]
    rule = rule_sentences(run.decision) if run.decision else []
    return {
        "name": anonymous(f"{run.folder.parent.name}/{run.folder.name}"),
        "subtitle": runtext.subtitle(run),
        "state_note": runtext.state(run),
        "evaluations": evaluations,
        "validation": runtext.validation(run),
        "folds": fold_block(run.out_of_fold) if run.out_of_fold else None,
        "counts": counts,
        "grouped": any(one.groups != one.images for one in counts),
        "unlabeled": health.number_unlabeled(run),
        "training_words": runtext.training(run),
        "alarms": health.alarms(run),
        "training": curves.training_charts(run),
        "views": run.views,
        "no_views": runtext.no_views(run, images),
        "branch": health.branch_facts(run),
        "branch_chart": curves.branch_chart(run),
        "pseudo": bars,
        "pseudo_step": step,
        "reference_name": reference_name,
        "no_branch": runtext.no_branch(run),
        "decision": rule,
        "no_decision": runtext.no_decision(run),
        **runtext.repeat(run),
        **runtext.skipped(run),
        "version": uda.__version__,
        "written": time.strftime("%Y-%m-%d %H:%M %z"),
        "pictures_inside": bool(run.views) or any(e.pictures for e in run.evaluations),
    }


def _evaluation(
    one: Evaluated, run: RunData, images: bool, number: int
) -> dict[str, Any]:
    main, facts, several = one.main, one.facts, one.predictions.several
    wanted: Sequence[str] = OVERALL_LABELS if several else OVERALL + GOOD_CLASS
    table = detail.matrix(one, f"cell{number}")
    flat = [cell for row in table for cell in row if cell.count]
    flat.sort(key=lambda cell: (cell.css.startswith("right"), -cell.count))
    pr, worst = detail.pr_charts(one), detail.worst(one)
    # A run that hands over texture may have been asked what its network says.
    kind = "network" if facts["main_weights"] == NETWORK else run.kind
    return {
        "name": one.name,
        "answer": sentences.answer(one),
        "rates": sentences.rates(one),
        "costs": sentences.costs(one, run),
        "paid": sentences.paid(one, run),
        "decided": _decided(main, run),
        "rests_on": sentences.rests_on(one, run),
        "notes": [*_stale(one, run), *(anonymous(note) for note in facts["notes"])],
        "whose": whose(facts["main_weights"], kind),
        "per_class": main["per_class"],
        "thresholds": main.get("thresholds", ()),
        "nodes": main.get("nodes", ()),
        "weights": ["texture"] if kind == "texture" else list(facts["weights"]),
        "overall": [
            (_TITLES[key], [entry[key] for entry in facts["weights"].values()])
            for key in wanted
            if main[key]["value"] is not None
        ],
        "matrix": table,
        "cells": detail.label_cells(one, f"cell{number}") if several else flat,
        "no_matrix": "Every class of every image is right."
        if several
        else "Too many classes for a table: predictions.csv has every answer.",
        "pictures_note": _pictures_note(one, images),
        "pr": pr,
        "pr_left": sum(e["ap"]["value"] is not None for e in main["per_class"])
        - len(pr),
        "calibration": detail.calibration_chart(one),
        "calibration_words": _calibration(one),
        "worst": worst,
        "worst_shown": [picture for picture in worst if picture.image],
        "worst_rows": [
            (p.name, p.truth, p.answer, f"{p.confidence:.2f}") for p in worst
        ],
        "wrong_words": _wrong(one, worst),
        "no_maps": one.no_maps if worst and images else "",
    }


def _stale(one: Evaluated, run: RunData) -> list[str]:
    """Say when the run went on after it was evaluated."""
    form = "%Y-%m-%dT%H:%M:%S%z"
    try:
        ended = datetime.strptime(str(run.status.get("time")), form)
        asked = datetime.strptime(str(one.facts.get("time")), form)
    except ValueError:  # one of them is not known
        return []
    if ended <= asked:
        return []
    return ["The run went on after this evaluation: evaluate it again."]


def _decided(main: dict[str, Any], run: RunData) -> list[str]:
    """Return what the decision rule does with the parts."""
    decision = main.get("decision")
    if not decision:
        unused = "decision.json is not in these numbers: evaluate again to use it."
        return [unused] if run.decision else []
    lines = [f"A decision rule answers here: {decision['words']}."]
    told = {
        "unsure": "of all parts go to a person",
        "wrong": "of the answers that stand are wrong",
        "escape": "of the defective parts pass, unsure ones not counted as passed",
        "overkill": "of the good parts are rejected, unsure ones not counted",
    }
    lines += [
        f"{sentences.share(decision[key])} {text}."
        for key, text in told.items()
        if decision[key]["value"] is not None
    ]
    if decision["cost"]["value"] is not None:
        lines.append(f"Mean cost per part: {decision['cost']['value']:.3f}.")
    return lines


def _pictures_note(one: Evaluated, images: bool) -> str:
    if not images:
        return "Images were left out of this report (--no-thumbnails)."
    if one.kept is False:
        return "No images here: the evaluation kept none (--no-thumbnails)."
    if one.kept is None:
        return "No images here: evaluate again to keep thumbnails."
    return ""


def _calibration(one: Evaluated) -> str:
    error = detail.calibration_number(one)
    if error is None:
        return "No image with a known class, so nothing is known of it."
    count = int(one.predictions.known.sum())
    few = " With fewer than 100 images this number is mostly noise." * (count < 100)
    return (
        f"Confidence is off by {sentences.percent(error)} on average (expected "
        "calibration error). Below the dashed line the model is too sure of itself."
        f"{few}"
    )


def _wrong(one: Evaluated, worst: Sequence[detail.Picture]) -> str:
    wrong = detail.number_wrong(one)
    if not wrong:
        return "No answer is wrong."
    shown_ones = f"the {len(worst)} most confident of them" if wrong > len(worst) else (
        "all of them, the most confident first"
    )  # fmt: skip
    maps = any(picture.maps for picture in worst)
    hint = (
        " Warm colours show where the network sees a class (Grad-CAM): beside the "
        "defect, something else decided."
    ) * maps
    return (
        f"{wrong} answers are wrong; here are {shown_ones}. Look twice: some may be "
        f"wrong labels.{hint}"
    )
