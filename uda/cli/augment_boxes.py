"""`uda augment boxes`: augmented images with their boxes, between any formats.

Text -> options -> one call of `uda.offline.detection`; then a table of what became
of the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.notes import say
from uda.cli.progress import counter, stoppable
from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.offline.detection import BoxReport

_PATH = click.Path(path_type=Path)
# Options that say how copies are made.
_FOR_COPIES = (
    "policy", "seed", "clip", "ellipse", "min_visibility", "min_side", "ignore_cover",
    "pixels_only",
)  # fmt: skip

# What albumentations and imgaug decide by themselves.
_OURS = ("clip", "ellipse", "ignore_cover")


@click.command(
    name="boxes", short_help="Augmented images with their boxes, in any format."
)
@click.argument("annotations", type=_PATH)
@click.option(
    "--images",
    type=_PATH,
    required=True,
    help="Folder that the images' paths are relative to.",
)
@click.option(
    "--policy", metavar="NAME|FILE", help="How a copy is made: see `uda policy list`."
)
@click.option(
    "--copies",
    type=click.IntRange(min=0, max=1000),
    default=5,
    show_default=True,
    help="Of each image; 0 only converts the annotations.",
)
@click.option("--out", type=_PATH, required=True, help="Folder of the new set.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["coco", "voc", "yolo", "corners"]),
    help="Format to write. Default: the one that was read.",
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same files.")
@click.option(
    "--originals/--no-originals",
    default=None,
    help="Copy the original images to the new set as well. Default: yes, unless "
    "--copies is 0.",
)
@click.option(
    "--clip",
    type=click.Choice(["visible", "frame", "none"]),
    default="visible",
    show_default=True,
    help="Box around what is visible of the old box; around its moved corners, cut at "
    "the frame (albumentations, torchvision); the same, not cut.",
)
@click.option(
    "--ellipse",
    is_flag=True,
    help="Enclose the moved inscribed ellipse, not the corners: for round objects.",
)
@click.option(
    "--min-visibility",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Least visible share of the original box's area; less is dropped.",
)
@click.option(
    "--min-side",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="Least width and height of a box, pixels; smaller ones are dropped.",
)
@click.option(
    "--ignore-cover", is_flag=True, help="What Cutout covers counts as visible."
)
@click.option(
    "--pixels-only",
    is_flag=True,
    help="The Python policy moves no pixel: boxes stay where they are.",
)
@click.option(
    "--invalid",
    type=click.Choice(["error", "repair"]),
    default="error",
    show_default=True,
    help="Boxes that reach out of their image by more than a pixel, or have no area: "
    "refuse them, or cut to the image and leave out the empty ones.",
)
@click.option(
    "--voc-base",
    type=click.Choice(["0", "1"]),
    help="Number of the first pixel in Pascal VOC files, read or written. Default: 0.",
)
@click.pass_context
def command(
    ctx: click.Context, /, annotations: Path, policy: str | None, **options: Any
) -> None:
    """Write augmented images with their boxes, or convert ANNOTATIONS.

    ANNOTATIONS is COCO (.json), Pascal VOC (.xml or a folder of them), YOLO (a folder
    or its data.yaml) or normalised corners (.csv: path,label,x0,y0,x1,y1).
    Look at OUT/preview.png before training on OUT.
    """
    from uda.augment.boxes import BoxRules
    from uda.augment.policy import Policy, load_policy
    from uda.offline.boxrequest import BoxRequest
    from uda.offline.detection import augment_boxes

    if options["copies"] == 0:
        _refuse(ctx, _FOR_COPIES, "with --copies 0, which only converts")
    elif policy is None:
        raise UsageError(
            "copies need a --policy (see `uda policy list`); --copies 0 converts alone"
        )
    chosen = load_policy(policy) if policy else None
    if isinstance(chosen, Policy):
        _refuse(ctx, ("pixels_only",), "on a native policy, whose moves are known")
    elif chosen is not None:
        _refuse(ctx, _OURS, "on a Python policy, which moves boxes by its own rules")
    rules = BoxRules(
        clip=options.pop("clip"),
        ellipse=options.pop("ellipse"),
        min_visibility=options.pop("min_visibility"),
        min_side=options.pop("min_side"),
        count_cover=not options.pop("ignore_cover"),
    )
    base = options.pop("voc_base")
    request = BoxRequest(
        annotations,
        policy=chosen,
        rules=rules,
        voc_base=None if base is None else int(base),  # type: ignore[arg-type]
        **options,
    )
    with stoppable():
        report = augment_boxes(request, counter())
    if request.copies:
        _print_table(report)
    for note in report.notes:
        say(note)
    _print_end(report, request.out)


def _print_end(report: BoxReport, out: Path) -> None:
    what = f"{report.num_boxes} boxes of {report.num_images} images"
    kinds = f"({report.source} -> {report.kind})"
    said = f"Wrote {what} to {out} {kinds}"
    if report.complete:
        said = f"{out} is complete already, with {what} {kinds}: nothing to do"
    shown, total = report.previewed
    click.echo(f"{said}. Look at {out / 'preview.png'} ({shown} of {total} images)")


def _refuse(ctx: click.Context, names: Sequence[str], where: str) -> None:
    """An option that changes nothing is an error, not a silent wish."""
    default = click.core.ParameterSource.DEFAULT
    for name in names:
        if ctx.get_parameter_source(name) is not default:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} has no effect {where}; leave it out")


def _print_table(report: BoxReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uda.data.table import shown
    from uda.offline.boxreport import REASONS

    classes = report.tally.classes
    # albumentations drops boxes itself and tells of no reason.
    foreign = any(entry.dropped["library"] for entry in classes)
    reasons = ("side", "library") if foreign else ("outside", "visibility", "side")
    table = Table("class", title="Boxes of the copies", title_justify="left")
    words = (REASONS[key] for key in reasons)
    for name in ("boxes", "kept", "of these clipped", *words):
        table.add_column(name, justify="right")
    for name, entry in zip(report.names, classes, strict=True):
        dropped = [entry.dropped[key] for key in reasons]
        counts = (entry.before, entry.kept, entry.clipped, *dropped)
        table.add_row(Text(shown(name), overflow="fold"), *map(str, counts))
    Console(width=max(Console().width, 80)).print(table)
    if report.tally.emptied:
        click.echo(
            f"{report.tally.emptied} of {report.tally.copies} copies lost all their "
            "boxes and stay as images without objects"
        )
