"""``uda policy list``: the names that --strong and --weak understand here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from uda.augment.listing import Listed


@click.command(short_help="Name the policies that can be used here.")
def command() -> None:
    """Name every policy: its origin, its kind, what it is, or why it is broken.

    A name is looked up in ./policies, then among installed packages (entry points
    uda.policies), then in uda itself. Python files are read, not run.
    """
    from rich.console import Console
    from rich.table import Table

    from uda.augment.listing import list_policies

    found = list_policies()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "from", "kind"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for entry in found:
        table.add_row(*_cells(entry))
    Console(highlight=False, markup=False).print(table)
    broken = sum(bool(entry.fault) for entry in found)
    if broken:
        click.echo(f"\n{broken} of {len(found)} cannot be used under this name.")
    click.echo("\nNext: uda policy show NAME, uda policy preview DATA --strong NAME")


def _cells(entry: Listed) -> list[str]:
    from uda.data.table import shown

    text = f"BROKEN: {entry.fault}" if entry.fault else entry.about
    return [shown(cell) for cell in (entry.name, entry.origin, entry.kind, text)]
