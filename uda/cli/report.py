"""``uda report``: one self-contained HTML page from a run or a study."""

from __future__ import annotations

from pathlib import Path

import click

from uda.errors import UsageError
from uda.files import writing

# What the head of every page of ours holds (templates/base.html); older ones had only
# their security policy.
_MARKS = (
    b'<meta name="generator" content="uda">',
    b'Content-Security-Policy" content="default-src &#39;none&#39;; style-src',
)
_HEAD = 4096


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

    _refuse_other(out)
    with writing(out or run, "choose another file with --out"):
        target = write_report(run, out, images=not no_thumbnails)
    size = target.stat().st_size / 2**20
    click.echo(f"{target} ({size:.1f} MB): open it in a browser")
    return target


def _refuse_other(out: Path | None) -> None:
    """Replace nothing but a page: a slip must not cost a photo or a list."""
    if out is None:
        return
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: the report is an HTML page; call it .html")
    if out.is_file() and not any(m in out.read_bytes()[:_HEAD] for m in _MARKS):
        raise UsageError(
            f"--out {out}: is there already and is no report; choose another name"
        )
