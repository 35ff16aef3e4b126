"""`uda augment images`: raise every class to a count, in a data set of its own.

Text -> a Request -> one call of `uda.offline.images`; then a table and notes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.notes import say
from uda.cli.progress import counter, stoppable
from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.offline.images import Report

_PATH = click.Path(path_type=Path)


@click.command(name="images")
@click.argument("data", type=_PATH)
@click.option(
    "--to-count",
    type=click.IntRange(1),
    required=True,
    help="Training images that each class shall have, copies included.",
)
@click.option(
    "--policy",
    required=True,
    metavar="NAME|FILE",
    help="How a copy is made: `uda policy list`, or a .yaml or .py file.",
)
@click.option("--out", type=_PATH, required=True, help="Folder of the new data set.")
@click.option(
    "--split",
    type=_PATH,
    help="Split file of DATA: its labelled part alone is copied, and the new set gets "
    "a split file with the same test part.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--classes", metavar="A,B", help="Raise these classes alone; default: all."
)
@click.option(
    "--unlabeled",
    type=_PATH,
    multiple=True,
    help="A folder of unlabelled images, as in `uda split`; may be repeated.",
)
@click.option(
    "--group",
    metavar="COLUMN|auto|none",
    help="What belongs together, as in `uda split`; a split file says it itself.",
)
def command(
    data: Path,
    to_count: int,
    policy: str,
    out: Path,
    split: Path | None,
    seed: int,
    classes: str | None,
    unlabeled: tuple[Path, ...],
    group: str | None,
) -> None:
    """Write a data set in which every class has TO-COUNT training images.

    Originals are copied to OUT as they are; augmented copies of the training images
    join them, never of test or validation images. OUT/manifest.csv keeps a copy in
    the group of its source, OUT/provenance.csv says where each copy comes from.
    An interrupted command is finished by repeating it.

    \b
    uda split photos --group auto --out split.csv
    uda augment images photos --split split.csv --to-count 100 \\
        --policy defect-safe --out more
    uda train more --split more/split.csv
    """  # noqa: D301
    if split is not None and group is not None:
        raise UsageError(
            "--group has no effect with --split, which holds the groups; leave it out"
        )
    from uda.augment.policy import load_policy
    from uda.offline.images import Request, augment_images

    request = Request(
        data=data,
        out=out,
        policy=load_policy(policy),
        to_count=to_count,
        seed=seed,
        split=split,
        classes=_names(classes),
        unlabeled=unlabeled,
        group=group,
    )
    with stoppable():
        report = augment_images(request, progress=counter())
    _print(report, to_count)
    end = f" --split {report.split}" if report.split else ""
    done = f"{out} is complete already: nothing to do"
    said = done if report.complete else f"Wrote {out}"
    click.echo(f"{said}. Next: uda train {out}{end}")


def _names(classes: str | None) -> tuple[str, ...]:
    if classes is None:
        return ()
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    if not names:
        raise UsageError("--classes is empty; name classes, as in --classes Rust,Dent")
    return names


def _print(report: Report, to_count: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uda.data.table import shown

    table = Table("class", title="Training images per class", title_justify="left")
    for name in ("before", "copies", "after"):
        table.add_column(name, justify="right")
    whys = [
        "" if count.copies else _unchanged(count.before, to_count)
        for count in report.classes
    ]
    if any(whys):
        table.add_column("")
    for count, why in zip(report.classes, whys, strict=True):
        cells = (str(number) for number in (count.before, count.copies, count.after))
        last = (why,) if any(whys) else ()
        table.add_row(Text(shown(count.label), overflow="fold"), *cells, *last)
    Console(width=max(Console().width, 80)).print(table)
    for note in report.notes:
        say(note)


def _unchanged(before: int, to_count: int) -> str:
    if before < to_count:
        return "unchanged: not in --classes"
    return "unchanged: has as many" if before == to_count else "unchanged: has more"
