"""`uda split`: write a grouped, stratified split as a file, or extend one.

Text -> options -> one call of `uda.data.splits`; then a table and what to know.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.options import LabelsType
from uda.errors import UsageError
from uda.files import writing
from uda.words import data_flags

if TYPE_CHECKING:
    from uda.data.coarse import Draw
    from uda.data.labelfile import Labeled
    from uda.data.records import Catalog
    from uda.data.splitfile import Split
    from uda.tree import Tree

_FOLDER = click.Path(path_type=Path)


@click.command(name="split")
@click.argument("data", type=_FOLDER)
@click.option(
    "--group",
    metavar="COLUMN|auto|none",
    help="What belongs together: a column of the manifest (default: 'group' if there "
    "is one), 'auto' to look for twins in the pixels as well, 'none'.",
)
@click.option(
    "--labels-per-class",
    type=LabelsType(),
    help="Labelled training images per class, from as many groups: 5, or "
    "Good=40,Rust=12 for an imbalanced draw; the rest of the training images becomes "
    "unlabelled. Default: all.",
)
@click.option(
    "--labels-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Instead: this share of each class's training groups, at least one, so that "
    "the class ratio stays.",
)
@click.option("--validation", default=0.15, show_default=True, help="Share of a class.")
@click.option("--test", default=0.2, show_default=True, help="Share of a class.")
@click.option("--seed", default=0, show_default=True, help="Seed of all draws.")
@click.option(
    "--out",
    type=_FOLDER,
    default=Path("split.csv"),
    show_default=True,
    help="The file to write; it is never overwritten.",
)
@click.option(
    "--unlabeled",
    type=_FOLDER,
    multiple=True,
    help="A folder of unlabelled images at any depth; may be repeated.",
)
@click.option(
    "--extend",
    type=_FOLDER,
    metavar="SPLIT",
    help="Add new images and labels to this split; its test part stays as it is.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="With --extend: let validation and test follow files that were deleted, moved "
    "or labelled otherwise. Results on them then do not compare with older ones.",
)
@click.option(
    "--labels",
    type=_FOLDER,
    metavar="LIST",
    help="With --extend: labels filled into a list of `uda suggest`.",
)
@click.option(
    "--new-class",
    "new_classes",
    multiple=True,
    help="With --labels: a class that no image had so far; may be repeated.",
)
@click.option(
    "--transductive",
    is_flag=True,
    help="Keep unlabelled images whose group is in validation or test.",
)
@click.option(
    "--tree",
    type=_FOLDER,
    help="YAML tree of the classes: labels called like a node of it only train.",
)
@click.option(
    "--good-class",
    help="The same for the tree of this class against the rest, called Defect.",
)
@click.option(
    "--multi-label",
    is_flag=True,
    help="Images may have several labels: joined by | in the manifest's label, or one "
    "column of 0 and 1 per class.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: Path,
    group: str | None,
    out: Path,
    unlabeled: tuple[Path, ...],
    extend: Path | None,
    multi_label: bool,
    **_: object,  # what the draws, the tree and the filled list need: see the context
) -> Split:
    """Write a grouped, stratified split of DATA as a file.

    DATA is a folder with one folder per class, a folder with train/ val/ test/
    unlabeled/, or a manifest.csv (path,label[,split][,group]).
    """
    from uda.data.coarse import draw_with_coarse
    from uda.data.groups import group_column, joined_notes
    from uda.data.records import scan

    _refuse_out(out)
    _refuse_without_effect(ctx)
    catalog = scan(
        data,
        unlabeled=unlabeled,
        group_column=group_column(group),
        multi_label=multi_label,
    )
    older, moved = (None, []) if extend is None else _older(ctx, extend, catalog)
    catalog, told, labels = _filled(ctx, catalog, older)
    groups = _groups(catalog, group)
    if older is None:
        draw = _draw(ctx, groups)
    else:
        _refuse_groupless(older, catalog, group, groups)
        draw = _extension(ctx, older, groups, told)
    split, notes = draw_with_coarse(draw, catalog, _tree(ctx, catalog))
    _save(split, out)
    _print_table(split, catalog)
    joined = joined_notes(catalog, groups)
    broken = _broken(catalog)
    _print_notes([*catalog.notes, *moved, *labels, *joined, *broken, *notes])
    following = ["uda", "train", str(data), *_same(ctx), "--split", str(out)]
    click.echo(f"Wrote {out}. Next: {shlex.join(following)}")
    return split


def _draw(ctx: click.Context, groups: Mapping[str, str] | None) -> Draw:
    from uda.data.splits import make_split

    names = ("labels_per_class", "labels_share", "validation", "test")
    return partial(
        make_split,
        groups=groups,
        seed=ctx.params["seed"],
        transductive=ctx.params["transductive"],
        **{name: ctx.params[name] for name in names},
    )


def _extension(
    ctx: click.Context,
    older: Split,
    groups: Mapping[str, str] | None,
    told: Collection[str],
) -> Draw:
    from uda.data.refresh import follow_labels
    from uda.data.splits import extend_split

    def draw(catalog: Catalog) -> tuple[Split, list[str]]:
        split, notes = older, list[str]()
        if ctx.params["refresh"]:  # here, where labels of several classes are hidden
            split, notes = follow_labels(older, catalog)
        longer, more = extend_split(
            split,
            catalog,
            groups,
            labels_per_class=ctx.params["labels_per_class"],
            seed=ctx.params["seed"],
            transductive=ctx.params["transductive"],
            told=told,
        )
        return longer, [*notes, *more]

    return draw


def _refuse_out(out: Path) -> None:
    from uda.files import check_writable

    if os.path.lexists(out):
        raise UsageError(f"{out}: exists and is never overwritten; give another --out")
    check_writable(out)


def _save(split: Split, out: Path) -> None:
    with writing(out):
        split.save(out)


def _groups(catalog: Catalog, group: str | None) -> Mapping[str, str] | None:
    from uda.data.groups import resolve_groups

    if group == "auto":
        click.echo("Looking for twins among the images ...", err=True)
    return resolve_groups(catalog, group)


def _broken(catalog: Catalog) -> list[str]:
    """Say which files are no images: they are counted, and training skips them."""
    from concurrent.futures import ThreadPoolExecutor

    from uda.cores import reading_threads
    from uda.data.images import BadImage, probe
    from uda.data.table import listing

    def reason(file: Path) -> str:
        try:
            probe(file)
        except BadImage as error:
            return error.reason
        return ""

    with ThreadPoolExecutor(reading_threads()) as pool:
        reasons = pool.map(reason, [record.file for record in catalog.records])
        bad = [r.path for r, why in zip(catalog.records, reasons, strict=True) if why]
    if not bad:
        return []
    return [
        f"{len(bad)} files are no images that can be read, and training will skip "
        f"them: {listing(bad, 3)}; `uda inspect` says why"
    ]


def _same(ctx: click.Context) -> list[str]:
    """Return the options that `uda train` needs as well, as words."""
    names = ("multi_label", "tree", "good_class")
    given = {name: ctx.params[name] for name in names}
    return data_flags(ctx.params["unlabeled"], **given)


def _refuse_groupless(
    older: Split,
    catalog: Catalog,
    choice: str | None,
    groups: Mapping[str, str] | None,
) -> None:
    """Without groups, twins of test images would come into training as new ones."""
    unsaid = choice is None and groups is None
    if unsaid and older.grouped and older.unknown(catalog):
        raise UsageError(
            "the older split keeps groups together, and nothing says to which group "
            "new images belong: give --group as for the older split (--group auto "
            "looks at the pixels; --group none holds out copies of test images alone)"
        )


def _older(ctx: click.Context, path: Path, catalog: Catalog) -> tuple[Split, list[str]]:
    """Return the older split, and with --refresh with its files where they are now."""
    from uda.data.refresh import follow_files
    from uda.data.splits import Split

    older = Split.load(path)
    return follow_files(older, catalog) if ctx.params["refresh"] else (older, [])


def _filled(ctx: click.Context, catalog: Catalog, older: Split | None) -> Labeled:
    """Add the labels of an older split and those that somebody filled in."""
    from uda.data.labelfile import Labeled, add_labels, labels_of_split, read_labels

    given = ctx.params
    labels = given["labels"]
    if given["new_classes"] and labels is None:
        raise UsageError("--new-class has no effect without --labels; leave it out")
    if labels is not None and older is None:
        raise UsageError(
            "--labels needs --extend SPLIT: images that were chosen since they are odd "
            "are no fair test, so validation and test have to be there already; the "
            "split of a run is RUN/split.csv"
        )
    if labels is not None and given["labels_per_class"] is not None:
        raise UsageError(
            "--labels-per-class would hold back labels that were just filled in; leave "
            "it out with --labels"
        )
    if labels is not None and given["multi_label"]:
        raise UsageError(
            "--labels holds one class per image and does not combine with --multi-label"
        )
    notes: list[str] = []
    if older is not None:
        catalog, notes = labels_of_split(older, catalog)
    if labels is None:
        return Labeled(catalog, frozenset(), notes)
    tree = _tree(ctx, catalog)
    more = add_labels(
        catalog,
        read_labels(labels),
        new_classes=given["new_classes"],
        coarse=() if tree is None else tree.coarse,
    )
    return more._replace(notes=[*notes, *more.notes])


def _tree(ctx: click.Context, catalog: Catalog) -> Tree | None:
    from uda.data.treefile import find_tree

    tree, good = ctx.params["tree"], ctx.params["good_class"]
    given = [name for name, value in (("tree", tree), ("good-class", good)) if value]
    if given and ctx.params["multi_label"]:
        raise UsageError(
            f"--{given[0]} does not combine with --multi-label: below a node of a tree "
            "one class excludes the others"
        )
    if len(given) > 1:
        raise UsageError("--good-class is a tree of its own; give it or --tree")
    return find_tree(catalog.classes, tree, good)


def _refuse_without_effect(ctx: click.Context) -> None:
    """An option that changes nothing is an error, no silent wish."""
    if ctx.params["extend"] is None:
        if ctx.params["refresh"]:
            raise UsageError("--refresh has no effect without --extend; leave it out")
        return
    default = click.core.ParameterSource.DEFAULT
    for name in ("validation", "test", "labels_share"):
        if ctx.get_parameter_source(name) is not default:
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --extend, which keeps "
                "validation, test and labels as they are; leave it out, or write a new "
                "split without --extend"
            )
    drawn = ctx.params["labels_per_class"] is not None
    if not drawn and ctx.get_parameter_source("seed") is not default:
        raise UsageError(
            "--seed has no effect with --extend, which draws nothing but labels up to "
            "--labels-per-class; leave it out"
        )


def _print_table(split: Split, catalog: Catalog) -> None:
    """Print images per class and part; the last line counts the groups."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uda.data.multilabel import NONE
    from uda.data.splitfile import PARTS
    from uda.data.table import shown

    table = Table("class", title="Images per class and part", title_justify="left")
    for part in PARTS:
        table.add_column(part, justify="right")
    counts = Counter(
        (name, row.part)
        for row in split.rows
        for name in catalog.names_in(row.label) or (NONE if row.label else None,)
    )
    bare = [NONE] * any(row.label == NONE for row in split.rows)
    for name in dict.fromkeys([*catalog.classes, *bare, None]):
        cells = [str(counts[name, part]) for part in PARTS]
        title = (
            Text(shown(name), overflow="fold") if name else Text("(no label)", "dim")
        )
        if name is not None or any(cell != "0" for cell in cells):
            table.add_row(title, *cells)
    table.add_section()
    table.add_row("all", *(str(len(split.part(part))) for part in PARTS))
    groups = [{row.unit for row in split.part(part)} for part in PARTS]
    table.add_row("groups", *(str(len(names)) for names in groups))
    # In fewer columns the table would cut its numbers: rather let lines wrap.
    Console(width=max(Console().width, 80)).print(table)


def _print_notes(notes: Sequence[str]) -> None:
    from uda.data.extension import NO_NEW_GROUPS
    from uda.data.splits import NO_GROUPS

    for note in notes:
        word = "Warning" if note in (NO_GROUPS, NO_NEW_GROUPS) else "Note"
        click.echo(f"{word}: {note}", err=True)
