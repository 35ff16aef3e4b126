"""A command called with Python values: keywords to words, and the value back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from uda.cli import main
from uda.errors import UsageError
from uda.training.stop import NAMES, own_signals

_STOPPED = tuple(128 + number for number in NAMES)  # exit codes after a signal


def call(command: str, *arguments: object, **options: object) -> Any:
    """Run any command and return its value.

    Args:
        command: for example ``"relabel"`` or ``"policy check"``.
        arguments: positional ones, in order.
        options: by name, see above.

    Returns:
        What the functions above say; for other commands what they make, or None.

    Raises:
        UdaError: what the command line would print as ``Error: …``; a misspelt or
            wrong option is a UsageError.
        KeyboardInterrupt: stopped by Ctrl-C or another signal; what was trained so far
            is saved.
    """
    words = command.split()
    found: click.Command = main
    with click.Context(main) as context:
        for word in words:
            group = found if isinstance(found, click.Group) else None
            inner = None if group is None else group.get_command(context, word)
            if inner is None:
                raise UsageError(f"there is no command {command!r}; see uda --help")
            found = inner
    line = [*option_words(found, options), "--"]
    line += [os.fsdecode(item) for item in arguments]  # type: ignore[arg-type]
    with own_signals():
        try:
            return found.main(line, prog_name=f"uda {command}", standalone_mode=False)
        except click.ClickException as error:
            raise UsageError(f"{command}: {error.format_message()}") from error
        except click.Abort as error:
            raise KeyboardInterrupt from error
        except SystemExit as error:
            if error.code not in _STOPPED:
                raise
            raise KeyboardInterrupt(f"{command}: stopped; `resume` goes on") from error


def option_words(command: click.Command, options: Mapping[str, object]) -> list[str]:
    """Return keyword options as words of a command line; None means not given."""
    flags = {name: option for option in command.params for name in option.opts}
    words: list[str] = []
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        option = flags.get(name)
        if value is None:
            continue
        if isinstance(option, click.Option) and option.is_flag:
            words += _flag(name, option, value)
            continue
        many = list(value) if isinstance(value, (list, tuple)) else [value]
        if isinstance(option, click.Option) and len(many) > 1 and not option.multiple:
            raise UsageError(
                f"{name} takes one value, not {len(many)}: give it as text, as on the "
                "command line"
            )
        words += [f"{name}={_text(one)}" for one in many]
    return words


def _flag(name: str, option: click.Option, value: object) -> list[str]:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is True or False, not {value!r}")
    if value:
        return [name]
    return option.secondary_opts[:1]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)
