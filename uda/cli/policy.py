"""`uda policy`: one command per file, `policy_NAME.py`, loaded on use."""

from __future__ import annotations

import click

from uda.cli import LazyGroup

COMMANDS = {
    "list": "Name the policies that can be used here.",
    "show": "Print a policy: its ops, their ranges, their risks.",
    "check": "Hold a policy to its contract before training with it.",
    "preview": "Write a contact sheet: weak and strong views of your images.",
    "bench": "Measure images per second against the floor.",
    "audit": "Which ops destroy which class? Needs a trained run.",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, prefix="uda.cli.policy_")
def command() -> None:
    """List, check, look at and audit augmentation policies."""
