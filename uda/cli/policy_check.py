"""``uda policy check``: hold policies to their contract before training with them."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from uda.errors import DataError

if TYPE_CHECKING:
    from uda.augment.conformance import Verdict


@click.command(short_help="Hold a policy to its contract before training with it.")
@click.argument("policies", nargs=-1, required=True, metavar="NAME|FILE...")
@click.option(
    "--slow",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    default=5.0,
    show_default=True,
    help="Warn above so many milliseconds per image of 64x64 px.",
)
def command(policies: tuple[str, ...], slow: float) -> None:
    """Probe policies: one line per probe, exit code 3 if any fails.

    Shape, dtype and range of views; grey, colour, non-square, constant and
    1 x 1 px images; the same views from the same seed, whatever the batches and
    the process; images left unchanged; time per image.
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
        verdicts = []
        for verdict in probe_policy(policy, slow_ms=slow):
            click.echo(_said(verdict))
            verdicts.append(verdict)
        failed += not all(verdict.passed for verdict in verdicts)
    if failed:
        raise DataError(
            f"{failed} of {len(policies)} policies failed; training would stop or "
            "could not be repeated"
        )


def _said(verdict: Verdict) -> str:
    if verdict.fault:
        return _line("FAIL", verdict.name, verdict.fault)
    return _line("PASS", verdict.name, verdict.note)


def _line(mark: str, name: str, detail: str) -> str:
    """Return one line; what does not fit beside the name is wrapped below it."""
    from uda.data.manifest import shown

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
