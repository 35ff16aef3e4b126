"""What ``uda compare`` trains: strategies read from a file, with the flags of train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uda.cli.options import parse_assignments
from uda.cli.train_flags import given_keys, train_flags
from uda.errors import UdaError, UsageError

if TYPE_CHECKING:
    from uda.study.request import Planned
    from uda.study.strategies import Strategy


def classes_of(split: Path) -> set[str]:
    """Return the labels of a split outside its test part."""
    from uda.study.run import training_part

    return {row.label for row in training_part(split).rows if row.label}


def strategies_of(
    path: Path | None,
    split: Path,
    good_class: str | None,
    *,
    note: Callable[[str], None],
) -> tuple[Strategy, ...]:
    """Read a file of strategies; without one those of the built-in list that can be.

    Args:
        path: of the file, all of which the user means; None for the built-in list.
        split: whose classes are looked at.
        good_class: of parts without a defect, or None.
        note: told what is left out.
    """
    from uda.study.strategies import no_tree, read_strategies

    if path is None and good_class is not None:
        why = no_tree(good_class, classes_of(split))
        if why is not None:
            note(f"no strategy with a tree of the good class takes part: {why}")
            good_class = None
    return read_strategies(path, good_class)


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


def curve_of(
    plan: tuple[Planned, ...], shares: tuple[float, ...], strategy: str | None
) -> tuple[Planned, ...]:
    """Return one strategy on shares of the labels; without shares the plan itself."""
    from uda.study.shares import curve_plan

    if not shares:
        if strategy is not None:
            raise UsageError(
                "--strategy has no effect without --learning-curve; a file of "
                "strategies to compare is --strategies FILE"
            )
        return plan
    names = [planned.strategy.name for planned in plan]
    if strategy not in names:
        raise UsageError(
            f"--learning-curve: which strategy? --strategy is one of {', '.join(names)}"
        )
    return curve_plan(plan[names.index(strategy)], shares)
