"""``uda filter``: which of many unlabelled images are worth training on?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import say_depth, say_run
from uda.cli.options import model_flags
from uda.cli.progress import counter
from uda.cli.replacing import check_list
from uda.errors import UsageError
from uda.files import writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uda.evaluation.relevance import Scored


@click.command(short_help="Choose unlabelled images that fit the task.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--unlabeled",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of unlabelled images, nested or flat; repeatable.",
)
@click.option(
    "--out",
    default="kept.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="List to write; uda train --unlabeled takes it.",
)
@click.option("--overwrite", is_flag=True, help="Replace the list if it is there.")
@click.option(
    "--per-class",
    type=click.IntRange(1),
    help="Keep at most so many of every predicted class.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, min_open=True),
    help="Keep this share of every predicted class; 0.5 by default.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Keep none that is less sure, whatever the quota.",
)
@model_flags
def command(
    run: Path,
    unlabeled: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    per_class: int | None,
    keep: float | None,
    min_confidence: float,
    weights: str,
    batch: int,
    device: str,
) -> Sequence[Scored]:
    """Choose the unlabelled images that look like RUN's own.

    Every image is classified by RUN; of each predicted class the surest are kept,
    and one of several near copies. The list names every image with its score and the
    reason (path, folder, class, confidence, kept, reason). No image is moved or
    deleted.

    \b
    uda filter runs/train --unlabeled pile --out kept.csv
    uda train photos --unlabeled kept.csv
    """  # noqa: D301
    if per_class is not None and keep is not None:
        raise UsageError("--per-class and --keep: give one of them")
    from uda.evaluation.pile import pile_records
    from uda.evaluation.relevance import HEADER, Quota, filter_images, write_list
    from uda.files import check_writable
    from uda.models.device import choose_device
    from uda.run.bundle import load_bundle
    from uda.run.layout import RunFolder

    check_list(out, HEADER, overwrite=overwrite)
    check_writable(out)
    bundle = load_bundle(run, weights=weights)
    say_run(run, RunFolder(bundle.folder))
    say_depth([r.file for r in pile_records(unlabeled)], bundle.preprocessing)
    scored = filter_images(
        bundle,
        unlabeled,
        Quota(per_class, 0.5 if keep is None else keep, min_confidence),
        batch=batch,
        device=str(choose_device(device)),
        progress=counter(),
    )
    with writing(out):
        write_list(out, scored)
    _report(scored, out)
    return scored


def _report(scored: Sequence[Scored], out: Path) -> None:
    """Say per class how many were kept, and how sure the last of them is."""
    bad = sum(entry.record.label is None for entry in scored)
    copies = sum(entry.reason.startswith("near copy") for entry in scored)
    names = sorted({entry.record.label for entry in scored if entry.record.label})
    for name in names:
        mine = [entry for entry in scored if entry.record.label == name]
        sure = [entry.confidence for entry in mine if entry.kept]
        least = f", the least sure at {min(sure):.2f}" if sure else ""
        click.echo(f"{name}: {len(sure)} of {len(mine)} kept{least}")
    click.echo(
        f"{sum(entry.kept for entry in scored)} of {len(scored)} images kept; "
        f"{copies} near copies and {bad} unreadable ones left out; written to {out}"
    )
