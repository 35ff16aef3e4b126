"""``uda policy bench``: images per second, beside what no policy can beat here."""

from __future__ import annotations

import click

from uda.cli.options import SizeType


@click.command(short_help="Measure images per second against the floor.")
@click.argument("policies", nargs=-1, required=True, metavar="NAME|FILE...")
@click.option(
    "--imgsz",
    "--size",
    "size",
    type=SizeType(),
    default="64",
    show_default=True,
    help="Image size in pixels: 64 or 64x96 (HxW).",
)
@click.option(
    "--channels", type=click.Choice(["1", "3"]), default="3", show_default=True
)
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="For native policies; a Python policy runs as in one worker process.",
)
@click.option("--rounds", type=click.IntRange(3), default=9, show_default=True)
def command(
    policies: tuple[str, ...],
    size: tuple[int, int],
    channels: str,
    batch: int,
    threads: int,
    rounds: int,
) -> None:
    """Time policies here, all in turn, on drawn images.

    Shows the median over the rounds with its quartiles, and each policy's speed as a
    share of two floors: copying the batch, and turning it into normalised floats,
    channels first (normalise), which training has to do anyway. The machine should
    have nothing else to do.
    """
    from uda.augment.policy import PythonPolicy, load_policy
    from uda.augment.throughput import COPY, NORMALIZE, measure
    from uda.reporting.text import table

    found = {name: load_policy(name) for name in policies}
    measured = measure(
        found,
        size=size,
        channels=int(channels),
        batch=batch,
        threads=threads,
        rounds=rounds,
    )
    native = f"{measured.executor}, {threads} thread{'s' if threads > 1 else ''}"
    rows = [["", "images/s", "quartiles", "of copy", "of normalise", "runs in"]]
    for name, rate in measured.rates.items():
        how = "numpy, 1 thread" if name == COPY else native
        if name in found:
            python = isinstance(found[name], PythonPolicy)
            how = "Python, 1 worker" if python else native
        rows.append(
            [
                name,
                f"{rate.median:,.0f}",
                f"{rate.low:,.0f}-{rate.high:,.0f}",
                f"{measured.share(name, COPY):.1%}",
                f"{measured.share(name, NORMALIZE):.1%}",
                how,
            ]
        )
    height, width = size
    click.echo(
        f"{height}x{width} px, {channels} channels, batches of {batch}, "
        f"{rounds} rounds, median"
    )
    click.echo("\n".join(table(rows)))
