"""The command line: text -> configuration -> one call.

Commands are loaded on use, so that ``uda --help`` answers without torch.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from typing import Any

import click

from uda import __version__
from uda.errors import UdaError

# Command name -> one-line help, in the order in which a new user needs them.
COMMANDS = {
    "demo": "Make a synthetic surface set, train on it, evaluate, predict.",
    "inspect": "Which numbers are too low and require treatment?",
    "lr-find": "Find a learning rate before training: a range test with a plot.",
    "pretrain": "Warm up a network without labels; trainings share the weights.",
    "split": "Write a grouped, stratified split as a file.",
    "compare": "Try many strategies on folds of your data, with a verdict.",
    "train": "Train from a few labelled and many unlabelled images.",
    "resume": "Continue an interrupted run, bit for bit.",
    "monitor": "Watch a run in TensorBoard on this machine.",
    "tune": "Fit thresholds, an escape limit and an unsure lane.",
    "evaluate": "Per-class evaluation of a run on the test part.",
    "report": "Write one HTML page about a run: the answer first.",
    "predict": "Classify images and write predictions.csv.",
    "export": "Write a run's model as one file for other programs.",
    "relabel": "List labels that the folds doubt; apply better ones.",
    "filter": "Choose unlabelled images that fit the task.",
    "suggest": "Which unlabelled images should be labelled next?",
    "policy": "List, check, look at and audit augmentation policies.",
    "augment": "Write augmented images, or images with their boxes, to disk.",
    "env": "Print versions and hardware for a bug report.",
}


class LazyGroup(click.Group):
    """A group that imports a command's file only when it is used.

    Attributes:
        lazy: command name -> one-line help, in the order of use.
        prefix: module of a command without its name (in which - is _).
    """

    def __init__(
        self,
        *args: Any,
        lazy: dict[str, str] | None = None,
        prefix: str = "uda.cli.",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}
        self.prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of use."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.lazy:
            return None
        module = importlib.import_module(self.prefix + cmd_name.replace("-", "_"))
        command = module.command
        if not isinstance(command, click.Command):  # a fault in the package itself
            raise TypeError(f"{module.__name__}.command is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one is told its nearest name."""
        name = str(args[0])
        near = difflib.get_close_matches(name, self.lazy, n=1)
        if near and name not in self.lazy:
            ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lazy.items()))


def _open_closed_streams() -> None:
    """Let closed standard streams lead nowhere.

    The next file that is opened would get the number of a closed one, and with it all
    that libraries write to standard error.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for standard in range(3):  # for TensorBoard and for workers as well
        os.set_inheritable(standard, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


class MainGroup(LazyGroup):
    """The root: errors of every command end here."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program, also where a daemon closed the standard streams."""
        _open_closed_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a user's error becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except UdaError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            place = error.filename or "a file could not be written"
            click.echo(
                f"Error: {place}: {error.strerror}; make room and run it again (a "
                "training goes on: uda resume RUN)",
                err=True,
            )
            sys.exit(1)
        except KeyboardInterrupt:  # commands that save something catch it earlier
            click.echo("Interrupted.", err=True)
            sys.exit(130)


@click.group(
    cls=MainGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="uda")
def main() -> None:
    """Train a defect classifier from few labelled and many unlabelled images.

    Start with `uda demo`, then `uda inspect DATA` and `uda train DATA`.
    """
