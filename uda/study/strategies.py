"""Strategies: a name and the flags of ``uda train``, read from a YAML file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uda.errors import UsageError
from uda.training.configfile import read_mapping
from uda.tree import REST

BUILT_IN = Path(__file__).with_name("strategies.yaml")
GOOD_CLASS = "{good_class}"
# What may be done with a trained model's answers, and how.
AFTERWARDS = {"tta": ("flips", "d4"), "tune": ("bias",)}


@dataclass(frozen=True)
class Strategy:
    """One way to get a classifier.

    Attributes:
        name: as the user calls it.
        flags: words of ``uda train``; empty for its defaults.
        of: name of the strategy whose trained models this one asks again; None for
            models of its own.
        tune: "bias" fits a threshold per class on the validation part.
        tta: "flips" or "d4" averages the answers to views of an image.
        share: of the labels that it may see, for a learning curve.
    """

    name: str
    flags: tuple[str, ...] = ()
    of: str | None = None
    tune: str | None = None
    tta: str | None = None
    share: float = 1.0

    @property
    def slug(self) -> str:
        """Return the name as a folder."""
        return slug_of(self.name)


def slug_of(name: str) -> str:
    """Return a strategy's name as a folder: its cells are found by it."""
    return re.sub(r"\W+", "-", name).strip("-").lower()


def read_strategies(path: Path | None, good_class: str | None) -> tuple[Strategy, ...]:
    """Read a file of strategies, in its order; the built-in list without one.

    Args:
        path: YAML file; None for the built-in list.
        good_class: what ``{good_class}`` in a flag stands for. Without it the built-in
            strategies that name it are left out.

    Raises:
        UsageError: naming the file and the strategy.
    """
    source = BUILT_IN if path is None else Path(path)
    tree = _read(source)
    found = tuple(_strategy(source, str(name), value) for name, value in tree.items())
    if path is None and good_class is None:
        found = tuple(s for s in found if not _asks_good_class(s))
    found = tuple(_with_good_class(source, s, good_class) for s in found)
    _check_names(source, found)
    return found


def no_tree(good_class: str, classes: Collection[str]) -> str | None:
    """Return why classes have no tree of the good one against the rest, or None.

    A class that is called as the tree calls the rest would be several classes there and
    one for other strategies.
    """
    if REST in classes:
        return (
            f"{REST!r} is a class of these data, and there the name of all defects. If "
            "it means a defect of unknown type, list strategies that all have "
            f"--good-class {good_class!r} (--strategies)"
        )
    if len({*classes} - {good_class}) < 2:
        return f"besides {good_class!r} there are no two classes to tell apart"
    return None


def _read(path: Path) -> Mapping[str, Any]:
    tree = read_mapping(path, "--strategies")
    if not tree:
        raise UsageError(
            f"--strategies {path}: names no strategy; uda compare --show-strategies "
            "prints a list to start from"
        )
    return tree


def _strategy(path: Path, name: str, value: Any) -> Strategy:
    where = f"--strategies {path}: strategy {name!r}"
    if isinstance(value, dict):
        return _again(where, name, value)
    if value is None:
        return Strategy(name)
    if isinstance(value, str):
        try:
            return Strategy(name, tuple(shlex.split(value)))
        except ValueError as error:
            raise UsageError(f"{where}: cannot be read as words ({error})") from error
    if isinstance(value, list):
        return Strategy(name, tuple(str(word) for word in value))
    raise UsageError(
        f"{where}: {value!r} is neither flags (a text or a list) nor keys with 'of'"
    )


def _again(where: str, name: str, keys: dict[Any, Any]) -> Strategy:
    """Return a strategy that asks another one's models."""
    known = {"of", *AFTERWARDS}
    unknown = sorted(str(key) for key in keys if key not in known)
    if unknown:
        raise UsageError(
            f"{where}: unknown key {unknown[0]!r}; the keys are "
            f"{', '.join(sorted(known))}; flags are a text or a list"
        )
    done = {key: str(keys[key]) for key in AFTERWARDS if key in keys}
    if "of" not in keys or not done:
        raise UsageError(
            f"{where}: give 'of' (whose models) and one or more of "
            f"{', '.join(AFTERWARDS)} (what is done with them)"
        )
    for key, word in done.items():
        if word not in AFTERWARDS[key]:
            raise UsageError(
                f"{where}: {key}: {word} is not known; choose "
                f"{' or '.join(AFTERWARDS[key])}"
            )
    return Strategy(
        name, of=str(keys["of"]), tune=done.get("tune"), tta=done.get("tta")
    )


def _asks_good_class(strategy: Strategy) -> bool:
    return any(GOOD_CLASS in word for word in strategy.flags)


def _with_good_class(
    path: Path, strategy: Strategy, good_class: str | None
) -> Strategy:
    if not _asks_good_class(strategy):
        return strategy
    if good_class is None:
        raise UsageError(
            f"--strategies {path}: strategy {strategy.name!r} names {GOOD_CLASS}; say "
            "which class it is with --good-class"
        )
    flags = tuple(word.replace(GOOD_CLASS, good_class) for word in strategy.flags)
    return replace(strategy, flags=flags)


def _check_names(path: Path, strategies: tuple[Strategy, ...]) -> None:
    slugs: dict[str, str] = {}
    trained = {strategy.name for strategy in strategies if strategy.of is None}
    for strategy in strategies:
        name = strategy.name
        if not strategy.slug or strategy.slug in slugs:
            other = slugs.get(strategy.slug)
            raise UsageError(
                f"--strategies {path}: {name!r} needs a name of its own, of letters "
                "and digits" + (f"; it is too like {other!r}" if other else "")
            )
        slugs[strategy.slug] = name
        if strategy.of is not None and strategy.of not in trained:
            raise UsageError(
                f"--strategies {path}: strategy {name!r} asks the models of "
                f"{strategy.of!r}, which is not a strategy that trains; those are "
                f"{', '.join(sorted(trained)) or 'none'}"
            )
