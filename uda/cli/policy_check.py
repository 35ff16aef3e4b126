"""``uda policy check``: hold policies to their contract before training with them."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from uda.cli.options import SizeType
from uda.errors import DataError

if TYPE_CHECKING:
    from uda.augment.probes import Verdict


@click.command(short_help="Hold a policy to its contract before training with it.")
@click.argument("policies", nargs=-1, required=True, metavar="NAME|FILE...")
@click.option(
    "--slow",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    default=5.0,
    show_default=True,
    help="Warn above so many milliseconds per image.",
)
@click.option(
    "--imgsz",
    "--size",
    "size",
    type=SizeType(),
    default="64",
    show_default=True,
    help="Image size in pixels: 64 or 64x96 (HxW), as for `uda train`.",
)
def command(policies: tuple[str, ...], slow: float, size: tuple[int, int]) -> None:
    """Probe policies: one line per probe, exit code 3 if any fails.

    Shape, dtype and range of views; grey, colour and constant images; the same
    views from the same seed, whatever the batches and the process; the input array
    not modified; time per image. Images of other sizes, non-square and of 1 x 1 px,
    give a warning (WARN) if a Python policy fails on them: training has one size.
    """
    from uda.augment.conformance import probe_policy
    from uda.augment.policy import load_policy

    failed = 0
    for name in policies:
        click.echo(name)
        try:
            policy = load_policy(name)
        except DataError as error:
            click.echo(_line("FAIL", "can be loaded", str(error)))
            failed += 1
            continue
        verdicts: list[Verdict] = []
        for verdict in probe_policy(policy, slow_ms=slow, size=size):
            click.echo(_said(verdict, verdicts))
            verdicts.append(verdict)
        failed += not all(verdict.passed for verdict in verdicts)
    if failed:
        raise DataError(
            f"{failed} of {len(policies)} policies failed; training would stop or "
            "could not be repeated"
        )


def _said(verdict: Verdict, before: list[Verdict]) -> str:
    """Return the line of a verdict; a fault that was told is not told again."""
    mark = "FAIL" if verdict.fault else "WARN" if verdict.warning else "PASS"
    detail = verdict.fault or verdict.warning or verdict.note
    for other in before:
        if mark != "PASS" and _alike(verdict, other):
            detail = f"as {other.name}"
            break
    return _line(mark, verdict.name, detail)


def _alike(one: Verdict, other: Verdict) -> bool:
    """Whether two faults differ in the sizes of images alone."""
    texts = [re.sub(r"\d+", "", v.fault or v.warning) for v in (one, other)]
    return texts[0] == texts[1]


def _line(mark: str, name: str, detail: str) -> str:
    """Return one line; what does not fit beside the name is wrapped below it."""
    from uda.data.table import shown

    head = f"  {mark}  {name}"
    text = shown(detail)
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    if not text:
        return head
    if len(head) + len(text) + 2 <= width:
        return f"{head}: {text}"
    indent = " " * 8
    wrapped = textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{head}:\n{wrapped}"
