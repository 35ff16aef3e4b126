"""``uda suggest``: which unlabelled images should be labelled next?"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import say_depth, say_run
from uda.cli.options import model_flags, no_decision_flag, rule_of
from uda.cli.progress import counter
from uda.cli.replacing import check_list, check_picture
from uda.errors import DataError
from uda.files import writing

if TYPE_CHECKING:
    from uda.evaluation.known import Known
    from uda.evaluation.ranking import Reason
    from uda.evaluation.suggesting import Suggestions

_WORDS = {"unsure": "unsure", "rare": "maybe rare", "novel": "unlike anything labelled"}


@click.command(short_help="Which unlabelled images should be labelled next?")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--unlabeled",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of unlabelled images, nested or flat, or a list; repeatable.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="How many images to suggest.",
)
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([*_WORDS]),
    default=[*_WORDS],
    help="Suggest for this reason alone; repeatable. Default: a third for each.",
)
@click.option(
    "--out",
    default="suggest.csv",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="List to write; the contact sheet lies beside it, as .png.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace an older list without labels, and sheet."
)
@no_decision_flag
@click.option("--seed", type=int, default=0, show_default=True, help="Decides ties.")
@model_flags
def command(
    run: Path,
    unlabeled: tuple[Path, ...],
    budget: int,
    reasons: tuple[Reason, ...],
    out: Path,
    overwrite: bool,
    no_decision: bool,
    seed: int,
    weights: str,
    batch: int,
    device: str,
) -> Suggestions:
    """Suggest which unlabelled images to label next, and say why.

    A third each: images RUN is unsure of, images that may be of a rare class, images
    that look unlike anything labelled; no two that show the same thing, none that
    shows what has a label. Fill in the column 'label' of the list; rows left empty
    stay unlabelled.

    \b
    uda suggest runs/train --unlabeled pile --budget 50
    uda split photos --unlabeled pile --group auto --extend runs/train/split.csv \\
        --labels suggest.csv --out split2.csv
    uda train photos --unlabeled pile --split split2.csv
    """  # noqa: D301
    from uda.evaluation.known import known_images
    from uda.evaluation.pile import pile_records
    from uda.evaluation.suggesting import HEADER, suggest, write_suggestions
    from uda.files import check_writable
    from uda.models.device import choose_device
    from uda.reporting.suggestions import save_suggestions
    from uda.run.bundle import load_bundle, require_one_label
    from uda.run.layout import RunFolder

    check_list(out, HEADER, overwrite=overwrite, answers="label")
    check_picture(out.with_suffix(".png"), overwrite=overwrite)
    check_writable(out)
    bundle = require_one_label(
        load_bundle(run, weights=weights),
        "`uda suggest` asks which one an image may be",
    )
    folder = RunFolder(bundle.folder)
    say_run(run, folder)
    say_depth([r.file for r in pile_records(unlabeled)], bundle.preprocessing)
    known = known_images(folder)
    found = suggest(
        bundle,
        known,
        unlabeled,
        budget,
        rule=rule_of(bundle, weights, no_decision=no_decision),
        reasons=reasons,
        batch=batch,
        device=str(choose_device(device)),
        seed=seed,
        progress=counter(),
    )
    if not found.chosen:
        raise DataError(
            f"nothing to suggest among {found.pile} images: {_left_out(found)}; give "
            "another --unlabeled"
        )
    sheet = out.with_suffix(".png")
    with writing(out):
        write_suggestions(out, found.chosen)
    title = f"What to label next: {len(found.chosen)} of {found.pile} images"
    with writing(sheet):
        save_suggestions(sheet, found.chosen, bundle.preprocessing, title=title)
    _report(found, budget)
    _next(out, sheet, split_words(bundle.folder, known, unlabeled, out))
    return found


def _left_out(found: Suggestions) -> str:
    parts = [f"{num} {why}" for why, num in sorted(found.left_out.items())]
    return "; ".join(parts) or "none left out"


def _report(found: Suggestions, budget: int) -> None:
    if found.left_out:
        click.echo(f"Not asked about, of {found.pile}: {_left_out(found)}")
    if found.rare:
        rare = ", ".join(f"{name} {weight:.2f}" for name, weight in found.rare)
        click.echo(f"How rare (0 to 1): {rare}")
    kinds = Counter(entry.kind for entry in found.chosen)
    counts = ", ".join(f"{num} {_WORDS[kind]}" for kind, num in kinds.items())
    click.echo(f"{len(found.chosen)} images to label: {counts}")
    if len(found.chosen) < budget:
        click.echo(
            f"Fewer than {budget}: the rest shows the same as these, has a label, or "
            "gives no reason"
        )


def _next(out: Path, sheet: Path, words: list[str]) -> None:
    """Say what to do with the list."""
    click.echo(
        f"Wrote {out} and {sheet}. Fill in the column 'label', then:\n"
        f"{shlex.join(words)}"
    )


def split_words(
    run: Path, known: Known, piles: Sequence[Path], labels: Path
) -> list[str]:
    """Return the command that takes the filled list into the run's split.

    Args:
        run: folder of the run, which knows its data and unlabelled folders.
        known: its labelled images.
        piles: the folders that were searched.
        labels: the list.
    """
    from uda.run.layout import RunFolder
    from uda.training.settled import recorded

    folder = RunFolder(run)
    config = recorded(folder.config)
    data, model = config.data, config.model
    root = Path(data.root).resolve()
    words = ["uda", "split", _short(root)]
    if data.group is not None:
        words += ["--group", data.group]
    elif all(record.group is None for record in known.records):
        words += ["--group", "auto"]
    folders = [p.resolve() for p in (*map(Path, data.unlabeled), *piles)]
    for pile in dict.fromkeys(folders):  # in the run's order: names depend on it
        if not pile.is_relative_to(root / "unlabeled"):  # that is in the data itself
            words += ["--unlabeled", _short(pile)]
    if model.tree is not None:
        words += ["--tree", _short(Path(model.tree))]
    elif model.good_class is not None:
        words += ["--good-class", model.good_class]
    words += ["--extend", _short(folder.split), "--labels", str(labels)]
    return [*words, "--out", _free("split2")]


def _short(path: Path) -> str:
    """Return a path as it is called from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _free(name: str) -> str:
    """Return the name of a split file that is not there yet."""
    while Path(f"{name}.csv").exists():
        name += "-new"
    return f"{name}.csv"
