"""A counter on standard error, for people only: a log or a pipe stays clean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def counter(unit: str = "images") -> Callable[[str, int, int], None] | None:
    """Return a progress function that redraws one line, or None off a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(stage: str, done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        click.echo(f"\r{stage}: {done} of {total} {unit}{end}", nl=False, err=True)

    return show


@contextmanager
def stoppable() -> Iterator[None]:
    """Pass on what an interrupted call says about its work, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt as stop:
        click.echo(f"\nInterrupted. {stop}".rstrip(), err=True)
        sys.exit(130)
