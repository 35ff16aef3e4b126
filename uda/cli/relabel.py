"""``uda relabel``: which labels do the folds doubt, and a manifest with better ones."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import say
from uda.cli.replacing import check_list, check_picture
from uda.errors import UsageError
from uda.files import writing

if TYPE_CHECKING:
    from uda.data.splits import Split
    from uda.evaluation.doubt import Doubt
    from uda.evaluation.out_of_fold import OutOfFold
    from uda.run.layout import RunFolder

SHEET_SIDE = 96  # pixels of an image on the contact sheet
MOST_ON_SHEET = 60


@click.command(short_help="Labels that the folds doubt, to be looked at.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--top",
    type=click.IntRange(1),
    help="List so many of the most doubtful labels; all doubted ones if left.",
)
@click.option(
    "--apply",
    "filled",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write a manifest with the new_label column of this list.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: relabel.csv, with a picture beside it; with --apply "
    "relabelled.csv in the data folder.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(
    run: Path,
    top: int | None,
    filled: Path | None,
    out: Path | None,
    overwrite: bool,
) -> None:
    """List the labelled images of RUN whose label its folds doubt.

    Each was answered by trainings that never saw it (`uda train --folds`). A doubt is
    no proof: look at the picture, and fill in the column new_label where the label is
    wrong (a class, or unlabeled). --apply makes a manifest of it. Nothing else is
    changed.

    \b
    uda relabel runs/train
    uda relabel runs/train --apply relabel.csv
    uda train photos/relabelled.csv --unlabeled more-photos --folds 5
    """  # noqa: D301
    from uda.run.layout import open_run

    folder = open_run(run)
    if filled is None:
        _list(folder, top, out or Path("relabel.csv"), overwrite)
        return
    if top is not None:
        raise UsageError("--top has no effect with --apply; leave one out")
    _apply(folder, filled, out, overwrite)


def _list(run: RunFolder, top: int | None, out: Path, overwrite: bool) -> None:
    from uda.data.relabel import HEADER, write_doubts
    from uda.evaluation.doubt import find_doubts

    found = _answers(run)
    picture = out.with_suffix(".png")
    check_list(out, HEADER, overwrite=overwrite, answers="new_label")
    check_picture(picture, overwrite=overwrite)
    ranked = find_doubts(found)
    listed = ranked[:top] if top else [entry for entry in ranked if entry.doubted]
    with writing(out):
        write_doubts(
            out,
            [(e.path, e.label, e.suggested, e.own, e.reason) for e in listed],
        )
    shown = _draw(run, listed, picture) if listed else 0
    _say(found, ranked, listed, out)
    _say_beside(run)
    if shown:
        click.echo(f"The first {shown} of them as a picture: {picture}")


def _say_beside(run: RunFolder) -> None:
    """Say now what --apply will refuse, and not after the work."""
    from uda.data.relabel import labels_beside
    from uda.data.splits import Split

    beside = labels_beside(Split.load(run.split))
    if beside:
        say(
            f"{len(beside)} labelled images lie beside the data (--unlabeled), where "
            "no manifest can name them, so --apply will refuse: correct the labels in "
            "a copy of the run's split.csv, and give that to `uda train --split`"
        )


def _answers(run: RunFolder) -> OutOfFold:
    from uda.evaluation.out_of_fold import OutOfFold

    if not run.out_of_fold.is_file():
        raise UsageError(
            f"{run.path}: has no out-of-fold answers, and answers of a model to images "
            "that it has learned say nothing of their labels; train with folds: "
            "uda train DATA --folds 5"
        )
    found = OutOfFold.load(run.out_of_fold)
    if found.predictions.several:
        raise UsageError(
            f"{run.path}: a multi-label run names several classes per image or none, "
            "and `uda relabel` ranks one label per image; take a run that names one"
        )
    return found


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(
            f"{path} is there already, perhaps with your answers in it; add "
            "--overwrite, or choose another --out"
        )


def _draw(run: RunFolder, listed: list[Doubt], picture: Path) -> int:
    """Draw the first of the list, as the run reads its images; return how many."""
    from uda.data.images import BadImage, fit, read_image
    from uda.data.preprocessing import Preprocessing
    from uda.evaluation.locations import image_files
    from uda.files import read_json
    from uda.reporting.doubts import draw_doubts
    from uda.reporting.sheets import save_sheet

    stored = read_json(run.model)["preprocessing"]
    span = Preprocessing.from_json(stored).value_range
    size = (SHEET_SIDE, SHEET_SIDE)
    pixels = {}
    first = listed[:MOST_ON_SHEET]
    files = image_files(run, [entry.path for entry in first])
    for entry, file in zip(first, files, strict=True):
        try:
            image = read_image(file, channels=3, value_range=span)
        except (BadImage, OSError) as error:
            click.echo(f"not in the picture: {error}", err=True)
            continue
        pixels[entry.path] = fit(image, size, fill=(250, 250, 248))
    # Row 1 of the list is its heading.
    rows = enumerate(listed, start=2)
    drawn = {row: entry for row, entry in rows if entry.path in pixels}
    if drawn:
        sheet = draw_doubts(drawn, pixels.__getitem__)
        with writing(picture):
            save_sheet(sheet, picture)
    return len(drawn)


def _say(found: OutOfFold, ranked: list[Doubt], listed: list[Doubt], out: Path) -> None:
    from uda.evaluation.doubt import doubt_counts
    from uda.reporting.text import short, table

    classes = found.predictions.classes
    counts = doubt_counts(ranked, classes)
    rows = [["labelled", "images", "doubted", *(f"as {short(n, 14)}" for n in classes)]]
    for place, name in enumerate(classes):
        mine = sum(entry.label == name for entry in ranked)
        told = [str(count) if count else "" for count in counts[place]]
        rows.append([short(name), str(mine), str(counts[place].sum()), *told])
    for line in table(rows):
        click.echo(line)
    click.echo(
        f"{len(listed)} of {len(ranked)} labels listed, the most doubtful first, in "
        f"{out}. Some of them are right and only hard: look, fill in the column "
        f"new_label where one is wrong, and give the list to --apply"
    )


def _apply(run: RunFolder, filled: Path, out: Path | None, overwrite: bool) -> None:
    from uda.data.records import scan
    from uda.data.relabel import read_new_labels, write_relabelled
    from uda.data.splits import Split
    from uda.evaluation.locations import data_root, image_folder

    found = _answers(run)
    split = Split.load(run.split)
    new_labels = read_new_labels(filled, split, found.predictions.classes)
    if not new_labels:
        raise UsageError(
            f"{filled}: no new label is filled in; write a class, or unlabeled, into "
            "the column new_label"
        )
    root = image_folder(run)
    target = root / "relabelled.csv" if out is None else out
    if target.resolve().parent != root.resolve():
        raise UsageError(
            f"--out {target}: the paths of a manifest count from its folder, so it has "
            f"to lie in {root}"
        )
    _refuse_existing(target, overwrite)
    records = scan(data_root(run), min_classes=0).records
    before = {record.path for record in records if record.withdrawn}
    with writing(target):
        write_relabelled(target, split, new_labels, before)
    _say_applied(new_labels, split, target)


def _say_applied(new_labels: dict[str, str | None], split: Split, target: Path) -> None:
    pairs: dict[tuple[str | None, str], int] = {}
    for path, new in new_labels.items():
        pair = (split.by_path[path].label, new or "unlabeled")
        pairs[pair] = pairs.get(pair, 0) + 1
    for (old, fresh), number in sorted(pairs.items(), key=str):
        click.echo(f"{old} -> {fresh}: {number}")
    click.echo(
        f"{len(new_labels)} new labels in {target}; the parts of the split are as they "
        f"were. Next: uda train {shlex.quote(str(target))}, with --unlabeled as before"
    )
    if any(row.part in ("test", "validation") and row.group for row in split.rows):
        click.echo(
            "If the split was drawn with --group auto, give that again: twins of test "
            "and validation images in --unlabeled folders are known by it alone"
        )
