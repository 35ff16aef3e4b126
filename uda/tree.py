"""A tree of classes: which decision leads to which, and where each class hangs.

A plain value that data, models, losses and evaluation share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from uda.errors import DataError, UsageError
from uda.words import did_you_mean

ROOT = "(all)"
REST = "Defect"  # node of all classes but the good one
Branch = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Tree:
    """Inner nodes and their children; what hangs below and is no node is a class.

    Attributes:
        branches: (M,) name of each inner node with the names of its children; the
            root is the first, and a node comes before the nodes below it.
        classes: (C,) class names in the order of the logits.
    """

    branches: tuple[Branch, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Freeze what came from a file, and refuse what is no tree.

        Raises:
            DataError: naming the first fault.
        """
        branches = tuple((name, tuple(below)) for name, below in self.branches)
        object.__setattr__(self, "branches", branches)
        object.__setattr__(self, "classes", tuple(self.classes))
        found = faults(branches, self.classes)
        if found:
            raise DataError(f"class tree: {found[0][1]}")

    @property
    def nodes(self) -> tuple[str, ...]:
        """(M,) names of the inner nodes, the root first."""
        return tuple(name for name, _ in self.branches)

    @cached_property
    def members(self) -> dict[str, tuple[int, ...]]:
        """Numbers of the classes below each name; a class is below itself."""
        found: dict[str, tuple[int, ...]]
        found = {name: (number,) for number, name in enumerate(self.classes)}
        for name, below in reversed(self.branches):
            found[name] = tuple(sorted(sum((found[child] for child in below), ())))
        return found

    @cached_property
    def groups(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """(M,) per node, per child: numbers of the classes below that child."""
        return tuple(
            tuple(self.members[child] for child in below) for _, below in self.branches
        )

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """(M,) number of children of each node; their sum is the node logits'."""
        return tuple(len(below) for _, below in self.branches)

    @cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """(C,) per class: the columns of the node logits that lead to it."""
        above: dict[str, tuple[int, ...]] = {self.branches[0][0]: ()}
        column = 0
        for name, below in self.branches:
            for child in below:
                above[child] = (*above[name], column)
                column += 1
        return tuple(above[name] for name in self.classes)

    @property
    def coarse(self) -> tuple[str, ...]:
        """Nodes below the root: labels that name no class.

        As a label, such a name has the number C plus its place here.
        """
        return self.nodes[1:]

    @cached_property
    def below(self) -> tuple[tuple[int, ...], ...]:
        """(C + M - 1,) numbers of the classes that a label of each number allows."""
        return tuple(self.members[name] for name in (*self.classes, *self.coarse))


def faults(branches: Sequence[Branch], classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is wrong with a tree as (name it is about, sentence).

    Args:
        branches: (M,) nodes in any order, the root first.
        classes: (C,) classes that the tree must hold, no more and no fewer.
    """
    nodes = [name for name, _ in branches]
    named = Counter(child for _, below in branches for child in below)
    found = [
        (name, f"{name!r} is a class and a node; give the node another name")
        for name in nodes
        if name in classes
    ]
    found += [
        (name, f"{name!r} is listed {count} times; list it once")
        for name, count in (named + Counter(nodes[:1])).items()
        if count > 1
    ]
    found += [
        (name, f"node {name!r} has {_children(len(below))}; a decision needs two")
        for name, below in branches
        if len(below) < 2
    ]
    leaves = [name for name in named if name not in nodes]
    found += [
        (name, f"there is no class {name!r}; the classes are {', '.join(classes)}")
        for name in leaves
        if name not in classes
    ]
    missing = [name for name in classes if name not in named and name not in nodes]
    return found + [
        (name, f"the class {name!r} is not in the tree; add it") for name in missing
    ]


def _children(count: int) -> str:
    return "no child" if count == 0 else "one child"


def good_against_rest(good: str, labels: Sequence[str], rest: str = REST) -> Tree:
    """Return the tree of one good class against all others, then these apart.

    Args:
        good: the class of parts without a defect.
        labels: all labels of the data. One that is called ``rest`` is no class: it
            says that there is a defect of unknown type.
        rest: name of the node of all others.

    Raises:
        UsageError: no such class.
        DataError: fewer than two others.
    """
    classes = tuple(name for name in labels if name != rest)
    others = tuple(name for name in classes if name != good)
    if good not in classes:
        raise UsageError(
            f"good class {good!r} is not among the classes"
            f"{did_you_mean(good, classes)}: {', '.join(classes)}"
        )
    if len(others) < 2:
        raise DataError(
            f"good class {good!r}: besides it there is only "
            f"{', '.join(others) or 'nothing'}, so there are no types to tell apart; "
            "leave the tree out"
        )
    return Tree(((ROOT, (good, rest)), (rest, others)), classes)
