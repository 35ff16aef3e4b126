"""``uda policy preview``: look at weak and strong views before training with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from uda.cli.options import SizeType
from uda.cli.progress import counter
from uda.cli.replacing import check_picture
from uda.errors import UsageError
from uda.files import writing

if TYPE_CHECKING:
    from PIL.Image import Image

    from uda.data.preprocessing import Mode

_MUCH = 0.4  # of an image that is padding


@click.command(short_help="Write a contact sheet: weak and strong views.")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--strong", default="defect-safe", show_default=True, help="Name or file."
)
@click.option("--weak", default="weak", show_default=True, help="Name or file.")
@click.option(
    "--imgsz",
    "--size",
    "size",
    type=SizeType(),
    default="64",
    show_default=True,
    help="Image size in pixels: 64 or 64x96 (HxW), as for `uda train`.",
)
@click.option(
    "--resize", type=click.Choice(["letterbox", "squash"]), default="letterbox"
)
@click.option(
    "--channels", type=click.Choice(["1", "3"]), help="1 grey, 3 colour; seen if left."
)
@click.option("--images", type=click.IntRange(1, 64), default=6, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Boxes to draw: COCO, VOC, YOLO or corners.",
)
@click.option("--split", type=click.Path(path_type=Path), help="Split file to respect.")
@click.option(
    "--unlabeled",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of unlabelled images, nested or flat; repeatable.",
)
@click.option(
    "--ops/--no-ops", default=True, help="Also show every op of STRONG alone."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("preview.png"),
    show_default=True,
    help="The picture; an older one of this command is replaced, and nothing else.",
)
def command(
    data: Path,
    strong: str,
    weak: str,
    size: tuple[int, int],
    resize: Mode,
    channels: str | None,
    images: int,
    seed: int,
    boxes: Path | None,
    split: Path | None,
    unlabeled: tuple[Path, ...],
    ops: bool,
    out: Path,
) -> None:
    """Show what training on DATA would see, as one picture (PNG).

    A row per image, some of each class: the image, its weak view, four strong views
    as training draws them, with what was done to each; then every op of the strong
    policy alone, at its outermost magnitudes. DATA is class folders, a manifest or a
    folder of images. Images of a test part are never shown.
    """
    from uda.augment.policy import load_policy
    from uda.data.pool import build_pool, default_cache
    from uda.reporting.preview import find_records, fitted_boxes
    from uda.reporting.views import choose, draw_preview, padding

    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: the sheet is a PNG; end the name in .png")
    check_picture(out, overwrite=True)
    weak_policy, strong_policy = load_policy(weak), load_policy(strong)
    records = find_records(data, split=split, unlabeled=unlabeled)
    pool = build_pool(
        records,
        size=size,
        channels=int(channels) if channels else None,
        mode=resize,
        cache=default_cache(),
        threads=2,
        progress=counter(),
    )
    known = fitted_boxes(boxes, data, pool) if boxes else {}
    rows = choose(pool.records, images, seed=seed, first=known)
    empty = padding((pool.records[row].file for row in rows), size)
    if resize == "letterbox" and empty > _MUCH:
        click.echo(
            f"Note: {empty:.0%} of each image is grey padding at --imgsz "
            f"{size[0]}x{size[1]}: give a size of the images' shape, or --resize "
            "squash",
            err=True,
        )
    sheet = draw_preview(
        pool,
        rows,
        weak=weak_policy,
        strong=strong_policy,
        seed=seed,
        boxes=known,
        with_ops=ops,
    )
    _save(sheet, out)
    click.echo(f"Wrote {out} ({sheet.width}x{sheet.height} px, {len(rows)} images).")


def _save(sheet: Image, out: Path) -> None:
    from uda.reporting.sheets import save_sheet

    with writing(out):
        save_sheet(sheet, out)
