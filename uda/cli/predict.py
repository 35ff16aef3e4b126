"""``uda predict``: classify files and folders into a CSV file.

A broken image gets a row with its error; the others are not held up by it. An
exported ONNX file is asked without importing torch.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.notes import say, say_depth, say_run
from uda.cli.options import (
    model_flags,
    no_decision_flag,
    note_thresholds,
    rule_of,
    tta_flag,
    views_of,
)
from uda.cli.progress import counter
from uda.cli.replacing import check_list
from uda.cores import reading_threads
from uda.errors import DataError, UsageError
from uda.files import check_writable, spreadsheet_safe, write_csv, writing

if TYPE_CHECKING:
    from uda.evaluation.decision import DecisionRule
    from uda.evaluation.files import Block
    from uda.run.bundle import Bundle

Files = list[tuple[str, Path]]
_COLUMNS = ("path", "class", "confidence", "error")  # what every list of answers has
NAME = "model"  # of the one model that answers


@click.command(short_help="Classify images and write predictions.csv.")
@click.argument("run", metavar="RUN|MODEL", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="predictions.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="CSV file to write; - prints to standard output.",
)
@click.option("--overwrite", is_flag=True, help="Replace the CSV file if it is there.")
@no_decision_flag
@tta_flag
@model_flags
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    paths: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    no_decision: bool,
    tta: str | None,
    weights: str,
    batch: int,
    device: str,
) -> Path | None:
    """Classify PATHS (images, or folders with all below them) with RUN.

    In place of a run MODEL can be a file that `uda export` wrote; an ONNX file is
    asked without torch.

    Columns: path, class, confidence, one probability per class, error. Several
    classes of a multi-label run are joined by |. Where `uda tune` wrote decision.json
    into RUN, the column decision comes before class: a class, or unsure. Its
    test-time augmentation (--tta) is used, and that of an exported file. Ends with
    code 3 when no image at all could be read.
    """
    to_stdout = str(out) == "-"
    if not to_stdout:
        check_list(out, _COLUMNS, overwrite=overwrite)
        check_writable(out)  # not after hours of answers
    from uda.export.description import is_export
    from uda.reporting.answers import header

    files = find_images(paths)
    if is_export(run):
        _refuse_for_export(ctx, device)
        asked = _ask_export(run, files, batch, no_decision, tta)
    else:
        asked = _ask_run(run, files, weights, batch, device, no_decision, tta)
    columns = header(asked.classes, with_decision=asked.rule is not None)
    tally = Tally()
    rows = _rows(asked, files, tally)
    if to_stdout:
        _print_csv(columns, rows)
    else:
        with writing(out):
            write_csv(out, columns, rows)
        click.echo(f"{tally.words(asked.rule)}, written to {out}", err=True)
    _report(tally)
    return None if to_stdout else out


@dataclass(frozen=True)
class Asked:
    """Who answers: classes, the rule that decides if any, and the answers."""

    classes: tuple[str, ...]
    rule: DecisionRule | None
    blocks: Iterator[Block]


@dataclass
class Tally:
    """How many images were read, not read, and left to a person."""

    good: int = 0
    bad: list[str] = field(default_factory=list)
    unsure: int = 0

    def words(self, rule: DecisionRule | None) -> str:
        """Return how many were classified, and where a lane is on how many unsure."""
        lane = rule is not None and rule.lane is not None
        unsure = f", {self.unsure} of them unsure" if lane else ""
        return f"{self.good} images classified{unsure}"


def _say_decision(bundle: Bundle, rule: DecisionRule | None, no_decision: bool) -> None:
    """Say which rule decides, or why that of the run does not."""
    from uda.run.layout import RunFolder

    if rule is not None:
        _say_rule("decision.json", rule)
    elif not no_decision and RunFolder(bundle.folder).decision.is_file():
        click.echo(
            "Note: decision.json is about other weights (--weights) and is left aside",
            err=True,
        )


def _say_rule(file: str, rule: DecisionRule) -> None:
    click.echo(
        f"Note: {file} decides ({rule.words()}); --no-decision leaves it aside",
        err=True,
    )


def find_images(paths: Sequence[Path]) -> Files:
    """Return (name, path) of each file, and of each image below each folder.

    Files are taken as named, also without a known suffix; folders are searched
    for known suffixes, in sorted order, without following links to folders, and what
    is left out there is told.

    Raises:
        UsageError: a path is not there.
        DataError: when there is nothing to classify.
    """
    from uda.data.folders import find_images as search
    from uda.data.images import SUFFIXES

    # A link that leads nowhere is there: it cannot be read, and gets its row.
    gone = [str(path) for path in paths if not os.path.lexists(path)]
    if gone:
        raise UsageError(
            f"{', '.join(gone[:3])}: there is no such file or folder; mend the path"
        )

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = search(path, follow=True)
        found += [path / name for name in below.images]
        for note in below.notes():
            say(note)
    if not found:
        raise DataError(
            f"no images below {', '.join(str(path) for path in paths)}; known "
            f"suffixes: {', '.join(sorted(SUFFIXES))}"
        )
    return [(str(path), path) for path in found]


def _ask_run(
    run: Path,
    files: Files,
    weights: str,
    batch: int,
    device: str,
    no_decision: bool,
    tta: str | None,
) -> Asked:
    from uda.evaluation.evaluate import place
    from uda.evaluation.files import predict_files
    from uda.evaluation.thresholds import own_thresholds
    from uda.models.device import choose_device
    from uda.run.bundle import load_bundle
    from uda.run.layout import RunFolder

    where = str(choose_device(device))
    bundle = load_bundle(run, weights=weights)
    say_run(run, RunFolder(bundle.folder))
    rule = rule_of(bundle, weights, no_decision=no_decision)
    views = views_of(tta, rule, bundle)
    _say_decision(bundle, rule, no_decision)
    say_depth([path for _, path in files], bundle.preprocessing)
    limits = own_thresholds(
        RunFolder(bundle.folder).thresholds, bundle.classes, bundle.link
    )
    blocks = predict_files(
        {NAME: place(bundle, where)},
        files,
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        batch=batch,
        threads=reading_threads(),
        device=where,
        progress=counter(),
        tta=views,
    )
    ruled = (_with(block, thresholds=limits, rule=rule) for block in blocks)
    return Asked(bundle.classes, rule, ruled)


def _refuse_for_export(ctx: click.Context, device: str) -> None:
    default = click.core.ParameterSource.DEFAULT
    if ctx.get_parameter_source("weights") is not default:
        raise UsageError(
            "--weights has no effect on an exported file, which holds one set; leave "
            "it out, or choose when you export"
        )
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"--device {device}: an exported file is asked on the CPU; leave the "
            "option out, or predict with the run"
        )


def _ask_export(
    path: Path, files: Files, batch: int, no_decision: bool, tta: str | None
) -> Asked:
    from uda.export.description import beside
    from uda.export.opening import open_export
    from uda.export.predict import answering, predict_files

    exported = answering(open_export(path), decision=not no_decision, tta=tta)
    described = exported.description
    say_depth([path for _, path in files], described.preprocessing)
    if described.rule is not None:
        _say_rule(beside(path).name, described.rule)
    elif described.tta != "none":
        say(f"answers are means, --tta {described.tta}")
    if described.thresholds:
        note_thresholds(described.tta)
    blocks = predict_files(
        exported, files, batch=batch, threads=reading_threads(), progress=counter()
    )
    return Asked(described.classes, described.rule, blocks)


def _with(block: Block, **changes: Any) -> Block:
    answers = replace(block.predictions[NAME], **changes)
    return replace(block, predictions={NAME: answers})


def _rows(asked: Asked, files: Files, tally: Tally) -> Iterator[list[object]]:
    from uda.reporting.answers import rows

    blanks = [""] * (2 + len(asked.classes) + (asked.rule is not None))
    for block in asked.blocks:
        found = block.predictions[NAME]
        tally.unsure += int(found.unsure.sum())
        answers = rows(found)
        for offset, error in enumerate(block.errors):
            name = files[block.start + offset][0]
            if error is None:
                tally.good += 1
                yield [name, *next(answers)[1], ""]
            else:
                tally.bad.append(name)
                yield [name, *blanks, error]


def _print_csv(columns: list[str], rows: Iterator[list[object]]) -> None:
    """Write to standard output; a reader that has enough is no error."""
    stream = sys.stdout.buffer
    lines: list[Iterable[Sequence[object]]] = [[columns], rows]
    try:
        for row in chain.from_iterable(lines):
            line = io.StringIO()
            cells = [spreadsheet_safe(cell) for cell in row]
            csv.writer(line, lineterminator="\n").writerow(cells)
            stream.write(line.getvalue().encode())
            stream.flush()
    except BrokenPipeError:
        # Python flushes once more at exit; give it somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _report(tally: Tally) -> None:
    from uda.data.table import listing

    if tally.good == 0:
        raise DataError(
            f"none of the {len(tally.bad)} images could be read; the column 'error' "
            "says why"
        )
    if tally.bad:
        click.echo(
            f"{len(tally.bad)} images could not be read, the column 'error' says why: "
            f"{listing(tally.bad, 3)}",
            err=True,
        )
