"""``uda compare DATA``: strategies side by side on folds, and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.options import DurationType, parse_assignments
from uda.cli.train_flags import given_keys, train_flags
from uda.errors import UdaError, UsageError

if TYPE_CHECKING:
    from uda.study.request import Planned, Request
    from uda.study.strategies import Strategy

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_FOLDER = click.Path(path_type=Path)


@click.command(short_help="Try many strategies on folds of your data; a verdict.")
@click.argument("data", type=_FOLDER, required=False)
@click.option("--split", type=_FILE, help="Split file; its test part is not read.")
@click.option(
    "--unlabeled",
    type=_FOLDER,
    multiple=True,
    help="Folder of unlabelled images, as `uda split` got it; repeatable.",
)
@click.option(
    "--strategies",
    type=_FILE,
    help="YAML file: a name and its flags of `uda train`; a built-in list if left.",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Length of every training; a warm start without labels comes on top.",
)
@click.option(
    "--budget",
    type=DurationType(),
    help="Length of every training as a time, for example 2m, warm start included.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings side by side, one thread each.",
)
@click.option("--good-class", help="Class of parts without a defect: shows escapes.")
@click.option("--reference", help="Strategy that the others are compared to.")
@click.option("--out", type=_FOLDER, help="Folder of the study; continued if there.")
@click.option(
    "--show-strategies", is_flag=True, help="Print the built-in list and stop."
)
def command(
    data: Path | None,
    split: Path | None,
    unlabeled: tuple[Path, ...],
    strategies: Path | None,
    folds: int,
    repeats: int,
    steps: int | None,
    budget: float | None,
    seed: int,
    jobs: int,
    good_class: str | None,
    reference: str | None,
    out: Path | None,
    show_strategies: bool,
) -> None:
    """Train every strategy on the same folds of DATA, and say what can be told.
    """
    from uda.study.request import Request
    from uda.study.run import run_study
    from uda.study.strategies import BUILT_IN, read_strategies

    if show_strategies:
        click.echo(BUILT_IN.read_text(encoding="utf-8"), nl=False)
        return
    if data is None or split is None or out is None:
        raise UsageError("give DATA, --split and --out")
    if (steps is None) == (budget is None):
        raise UsageError("give one of --steps and --budget: all trainings' length")
    plan = plan_of(read_strategies(strategies, good_class))
    request = Request.of(
        data, split, unlabeled, folds=folds, repeats=repeats, steps=steps,
        budget=budget, seed=seed,
    )  # fmt: skip
    run_study(
        out, request, plan, jobs=jobs,
        on_cell=lambda d, t, r: click.echo(f"{d}/{t} {r}", err=True),
        note=lambda text: click.echo(f"Note: {text}", err=True),
    )  # fmt: skip


def plan_of(strategies: tuple[Strategy, ...]) -> tuple[Planned, ...]:
    """Read every strategy's flags as ``uda train`` reads them."""
    from uda.study.request import Planned

    return tuple(Planned(s, _keys(s)) for s in strategies)


@click.command(add_help_option=False)
@train_flags
@click.option("--set", "assignments", multiple=True)
def _train_words(assignments: tuple[str, ...], **flags: Any) -> dict[str, Any]:
    """The words that a strategy may give."""
    return {**given_keys(flags), **parse_assignments(assignments)}


def _keys(strategy: Strategy) -> dict[str, Any]:
    name = f"strategy {strategy.name!r}"
    try:
        keys: dict[str, Any] = _train_words.main(
            list(strategy.flags), prog_name=name, standalone_mode=False
        )
    except click.ClickException as error:
        raise UsageError(f"{name}: {error.format_message()}") from error
    except UdaError as error:
        raise UsageError(f"{name}: {error}") from error
    return keys
