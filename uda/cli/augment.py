"""`uda augment`: one command per file, `augment_NAME.py`, loaded on use."""

from __future__ import annotations

import click

from uda.cli import LazyGroup

COMMANDS = {
    "images": "Augmented copies of the labelled images until classes reach a count.",
    "boxes": "Augmented images with their boxes, between any annotation formats.",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, prefix="uda.cli.augment_")
def command() -> None:
    """Write augmented images, or images with their boxes, to disk."""
