"""``uda report``: one self-contained HTML page from a run or a study."""

from __future__ import annotations

from pathlib import Path

import click

from uda.files import writing


@click.command(short_help="Write one HTML page about a run: the answer first.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page; RUN/report.html by default. One that is there is replaced.",
)
@click.option(
    "--no-thumbnails",
    is_flag=True,
    help="Leave out all images, to pass the page on where images are confidential.",
)
def command(run: Path, out: Path | None, no_thumbnails: bool) -> Path:
    """Write a page about RUN that opens anywhere, offline, and prints.

    RUN may be a study of `uda compare`, too. Of a run it reads the folder alone: what
    `uda evaluate` and `uda tune` found, the curves of the training, thumbnails and
    saliency maps. Nothing is computed anew.
    """
    from uda.reporting.report import write_report

    with writing(out or run, "choose another file with --out"):
        target = write_report(run, out, images=not no_thumbnails)
    size = target.stat().st_size / 2**20
    click.echo(f"{target} ({size:.1f} MB): open it in a browser")
    return target
