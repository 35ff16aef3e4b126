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
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.options import model_flags
from uda.cli.progress import counter
from uda.errors import DataError, UsageError

if TYPE_CHECKING:
    from uda.evaluation.files import Block

Files = list[tuple[str, Path]]
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
@model_flags
@click.pass_context
def command(
    ctx: click.Context,
    run: Path,
    paths: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    weights: str,
    batch: int,
    device: str,
) -> None:
    """Classify PATHS (images, or folders with all below them) with RUN.

    In place of a run MODEL can be a file that `uda export` wrote; an ONNX file is
    asked without torch.

    Columns: path, class, confidence, one probability per class, error. Several
    classes of a multi-label run are joined by |. Ends with code 3 when no image at
    all could be read.
    """
    to_stdout = str(out) == "-"
    if not to_stdout and out.exists() and not overwrite:
        raise UsageError(
            f"{out} is there already; add --overwrite, or choose another --out"
        )
    from uda.reporting.answers import header

    files = find_images(paths)
    if _is_export(run):
        classes, blocks = _ask_export(ctx, run, files, batch, device)
    else:
        classes, blocks = _ask_run(run, files, weights, batch, device)
    tally = Tally()
    rows = _rows(blocks, files, len(classes), tally)
    if to_stdout:
        _print_csv(header(classes), rows)
    else:
        from uda.files import write_csv

        try:
            write_csv(out, header(classes), rows)
        except OSError as error:
            raise DataError(
                f"{out}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        click.echo(f"{tally.good} images classified, written to {out}", err=True)
    _report(tally)


@dataclass
class Tally:
    """How many images were read and how many were not."""

    good: int = 0
    bad: int = 0


def find_images(paths: Sequence[Path]) -> Files:
    """Return (name, path) of each file, and of each image below each folder.

    Files are taken as named, also without a known suffix; folders are searched
    for known suffixes, in sorted order, without following links to folders.

    Raises:
        DataError: when there is nothing to classify.
    """
    from uda.data.images import SUFFIXES

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            found += [
                Path(folder, name)
                for name in sorted(names)
                if Path(name).suffix.lower() in SUFFIXES
            ]
    if not found:
        raise DataError(
            f"no images below {', '.join(str(path) for path in paths)}; known "
            f"suffixes: {', '.join(sorted(SUFFIXES))}"
        )
    return [(str(path), path) for path in found]


def _is_export(path: Path) -> bool:
    from uda.export.description import KINDS

    return path.suffix.lstrip(".") in KINDS and not path.is_dir()


def _ask_run(
    run: Path, files: Files, weights: str, batch: int, device: str
) -> tuple[tuple[str, ...], Iterator[Block]]:
    """Return the classes of a run, and its answers."""
    from uda.evaluation.evaluate import choose_device, place
    from uda.evaluation.files import predict_files
    from uda.evaluation.thresholds import own_thresholds
    from uda.run.bundle import load_bundle
    from uda.run.layout import RunFolder

    where = choose_device(device)
    bundle = load_bundle(run, weights=weights)
    limits = own_thresholds(
        RunFolder(bundle.folder).thresholds, bundle.classes, bundle.link
    )
    blocks = predict_files(
        {NAME: place(bundle, where)},
        files,
        classes=bundle.classes,
        preprocessing=bundle.preprocessing,
        batch=batch,
        threads=_threads(),
        device=where,
        progress=counter(),
    )
    return bundle.classes, (_limited(block, limits) for block in blocks)


def _limited(block: Block, limits: tuple[float, ...]) -> Block:
    answers = replace(block.predictions[NAME], thresholds=limits)
    return replace(block, predictions={NAME: answers})


def _ask_export(
    ctx: click.Context, path: Path, files: Files, batch: int, device: str
) -> tuple[tuple[str, ...], Iterator[Block]]:
    """Return the classes of an exported model, and its answers."""
    from uda.export.opening import open_export
    from uda.export.predict import predict_files

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
    exported = open_export(path)
    blocks = predict_files(
        exported, files, batch=batch, threads=_threads(), progress=counter()
    )
    return exported.description.classes, blocks


def _threads() -> int:
    return max(2, os.cpu_count() or 2)


def _rows(
    blocks: Iterator[Block], files: Files, num_classes: int, tally: Tally
) -> Iterator[list[object]]:
    from uda.reporting.answers import rows

    blanks = [""] * (2 + num_classes)
    for block in blocks:
        answers = rows(block.predictions[NAME])
        for offset, error in enumerate(block.errors):
            name = files[block.start + offset][0]
            if error is None:
                tally.good += 1
                yield [name, *next(answers)[1], ""]
            else:
                tally.bad += 1
                yield [name, *blanks, error]


def _print_csv(columns: list[str], rows: Iterator[list[object]]) -> None:
    """Write to standard output; a reader that has enough is no error."""
    from uda.files import spreadsheet_safe

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
    if tally.good == 0:
        raise DataError(
            f"none of the {tally.bad} images could be read; the column 'error' says why"
        )
    if tally.bad:
        click.echo(
            f"{tally.bad} images could not be read; the column 'error' says why",
            err=True,
        )
