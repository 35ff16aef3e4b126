"""``uda policy show``: what a policy does, in numbers with units, and what it risks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from uda.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from uda.augment.policy import Policy, PythonPolicy
    from uda.augment.specs import OpSpec


@click.command(short_help="Print a policy: its ops, their ranges, their risks.")
@click.argument("policy", metavar="NAME|FILE")
@click.option("--yaml", "as_file", is_flag=True, help="Print the file, without name.")
def command(policy: str, as_file: bool) -> None:
    """Print every op of a policy with range, unit, probability and risk."""
    from uda.augment.policy import PythonPolicy, load_policy

    found = load_policy(policy)
    if as_file:
        _print_file(found)
    elif isinstance(found, PythonPolicy):
        _show_python(found)
    else:
        _show(found)


def _print_file(policy: Policy | PythonPolicy) -> None:
    from uda.augment.policy import Policy
    from uda.data.table import shown

    if policy.path is None:
        raise DataError(f"{policy.name}: has no file to print")
    try:
        text = policy.path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{policy.path}: cannot be read ({error})") from error
    if not isinstance(policy, Policy):
        click.echo(text, nl=not text.endswith("\n"))
        return
    # A copy that is edited is another policy: it is called by its file's name.
    line = f"# name: that of the file; begun from {shown(policy.name)}"
    text = re.sub(r"(?m)^name: +[^\s>|].*$", lambda _: line, text, count=1)
    click.echo(text, nl=not text.endswith("\n"))


def _show_python(policy: PythonPolicy) -> None:
    from uda.data.table import shown

    lines = [
        f"{shown(policy.name)}: a Python policy",
        f"file         {shown(policy.path)}",
        f"fingerprint  {policy.fingerprint()[:16]} (of the file's content)",
    ]
    adapter = policy.adapter
    if adapter is not None:
        grey = "" if 1 in adapter.channels else "; grey images as three equal channels"
        lines.append(f"made with    {adapter.library}, given {adapter.takes}{grey}")
    lines.append(
        "What it does to an image only its code knows: look with `uda policy preview "
        f"DATA --strong {shown(policy.name)}`,\nand hold it to its contract with "
        f"`uda policy check {shown(policy.path)}`."
    )
    click.echo("\n".join(lines))


def _show(policy: Policy) -> None:
    from rich.console import Console

    from uda.augment.expectation import expected_count, expected_ops
    from uda.data.table import shown

    source = " ".join(policy.source.split())
    click.echo(f"{shown(policy.name)}: {shown(source) or 'a native policy'}\n")
    expected = expected_ops(policy)
    if expected:
        Console(highlight=False, markup=False).print(_table(policy))
        click.echo(
            f"\nA view passes {expected_count(policy):.3g} of these ops on average."
        )
    for name, value in _settings(policy):
        click.echo(f"{name:<15}{value}")


def _table(policy: Policy) -> Table:
    from rich.table import Table

    from uda.augment.expectation import expected_ops
    from uda.augment.ops import OPS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("op", "when", "magnitude", "levels"):
        table.add_column(heading, no_wrap=True)
    table.add_column("per view", justify="right", no_wrap=True)
    table.add_column("what it could erase or invent", ratio=1)
    told: dict[str, str] = {}  # risk -> the first op that has it
    seen: set[str] = set()
    for entry in expected_ops(policy):
        spec = entry.spec
        risk = OPS[spec.name].risk
        first = told.setdefault(risk, spec.name)
        if first in seen:
            risk = "see above" if first == spec.name else f"as {first}"
        seen.add(spec.name)
        levels = "" if spec.low is None else str(spec.levels or "any")
        table.add_row(
            spec.name,
            entry.place,
            _range(spec),
            levels,
            f"{entry.applied:.3f}",
            risk,
        )
    return table


def _range(spec: OpSpec) -> str:
    """Return the range in the op's unit, with the sign that a coin gives it."""
    from uda.augment.ops import OPS
    from uda.reporting.captions import magnitude

    if spec.low is None or spec.high is None:
        return ""
    ends = [spec.low, spec.high]
    if OPS[spec.name].signed or OPS[spec.name].unit.startswith("factor"):
        ends.sort()  # other scales may run downwards, as those of RandAugment do
    low, high = (magnitude(spec.name, value).lstrip("+") for value in ends)
    text = low if low == high else f"{low} .. {high}"
    if OPS[spec.name].signed:
        return f"± {text}"
    return f"{text}, or 2 - it" if spec.mirrored else text


def _settings(policy: Policy) -> list[tuple[str, str]]:
    """Return the rest of a policy, in words, in the order of execution."""
    draws = "none"
    if policy.subpolicies:
        draws = f"1 of {len(policy.subpolicies)} sub-policies"
    elif policy.count:
        draws = (
            f"{policy.count} of {len(policy.ops)} ops, with replacement, each applied "
            f"with probability {policy.probability:g} unless it has its own"
        )
    weak = [
        f"flip left-right {policy.hflip:g}" if policy.hflip else "",
        f"flip up-down {policy.vflip:g}" if policy.vflip else "",
        "quarter turns" if policy.quarter_turns else "",
        f"shift up to {policy.crop_pad:.3g} of the side" if policy.crop_pad else "",
    ]
    cutout = f"{policy.cutout:g} of the shorter side" if policy.cutout else "none"
    orders = {
        "geometry-first": "flips and shift, ops, cutout",
        "geometry-last": "ops, cutout, flips and shift",
    }
    return [
        ("drawn", draws),
        ("flips, shift", ", ".join(filter(None, weak)) or "none"),
        ("cutout", cutout),
        ("order", orders[policy.order]),
        ("fill", policy.fill),
        ("interpolation", policy.interpolation),
        ("fingerprint", policy.fingerprint()[:16]),
        ("file", str(policy.path) if policy.path else "none"),
    ]
