"""Reads a tree of classes from YAML; every complaint names the line.

Class names stay as they are written: ``NO`` is a class, not a truth value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from uda.data.table import shown
from uda.errors import UsageError
from uda.tree import ROOT, Branch, Tree, faults, good_against_rest

_MAX_BYTES = 1_000_000
_NULL = "tag:yaml.org,2002:null"
EXAMPLE = "for example: Good, and below Defect: Rust and Scratch (docs/hierarchy.md)"


def find_tree(
    labels: Sequence[str], path: str | Path | None, good_class: str | None
) -> Tree | None:
    """Return the tree that was asked for, by file or by its good class.

    Args:
        labels: all labels of the data; those called like a node are coarse labels.
        path: a YAML file, or None.
        good_class: the class of good parts, or None.

    Raises:
        UsageError: the file is no tree of these classes, naming file and line; or the
            good class does not exist.
        DataError: the good class leaves nothing to tell apart.
    """
    if path is not None:
        return read_tree(Path(path), labels)
    return None if good_class is None else good_against_rest(good_class, labels)


@dataclass(frozen=True)
class _Entry:
    """A name in the file with its line; children are None for a class."""

    name: str
    line: int
    children: tuple[_Entry, ...] | None

    def walk(self) -> Iterator[_Entry]:
        yield self
        for child in self.children or ():
            yield from child.walk()


def read_tree(path: Path, labels: Sequence[str]) -> Tree:
    """Read a nested mapping or list of class names with names of inner nodes.

    Args:
        path: the YAML file.
        labels: all labels of the data. A label called like an inner node is coarse;
            every other one must be a class of the tree.

    Raises:
        UsageError: naming the file and, where there is one, the line.
    """
    root = _Entry(ROOT, 1, _children(path, _compose(path)))
    entries = list(root.walk())
    lines: dict[str, list[int]] = {}
    for entry in entries:
        lines.setdefault(entry.name, []).append(entry.line)
    branches = [_branch(entry) for entry in entries if entry.children is not None]
    nodes = {name for name, _ in branches}
    leaves = {entry.name for entry in entries if entry.children is None}
    # A label called like a node is coarse, unless the file says that it is a class.
    classes = tuple(name for name in labels if name not in nodes or name in leaves)
    found = faults(branches, classes)
    if found:
        name, sentence = found[0]
        raise UsageError(f"{_place(path, lines.get(name, []))}: {shown(sentence)}")
    return Tree(tuple(branches), classes)


def _branch(entry: _Entry) -> Branch:
    return entry.name, tuple(child.name for child in entry.children or ())


def _place(path: Path, lines: Sequence[int]) -> str:
    if not lines:
        return f"--tree {path}"
    word = "lines" if len(lines) > 1 else "line"
    return f"--tree {path}, {word} {', '.join(map(str, lines))}"


def _compose(path: Path) -> yaml.Node:
    """Return the file as YAML nodes, which know their lines."""
    if not path.is_file():
        raise UsageError(f"--tree {path}: no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(f"--tree {path}: larger than {_MAX_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UsageError(
                    f"{_place(path, [_line(event)])}: refers to another place (*); "
                    "write the names out"
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--tree {path}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"--tree {path}: nested too deeply") from error
    if node is None:
        raise UsageError(f"--tree {path}: is empty; write class names, {EXAMPLE}")
    return node


def _children(path: Path, node: yaml.Node) -> tuple[_Entry, ...]:
    """Return what a mapping or list holds."""
    if isinstance(node, yaml.MappingNode):
        return tuple(_named(path, key, value) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        found: list[_Entry] = []
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                found.extend(_children(path, item))
            else:
                found.append(_Entry(_name(path, item), _line(item), None))
        return tuple(found)
    raise UsageError(
        f"{_place(path, [_line(node)])}: expected a list or a mapping of class names, "
        f"{EXAMPLE}"
    )


def _named(path: Path, key: yaml.Node, value: yaml.Node) -> _Entry:
    name, line = _name(path, key), _line(key)
    empty = isinstance(value, yaml.ScalarNode) and value.tag == _NULL
    return _Entry(name, line, None if empty else _children(path, value))


def _name(path: Path, node: yaml.Node) -> str:
    text = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
    unwritten = node.tag == _NULL and text in ("", "~")
    if not text or unwritten:
        raise UsageError(f"{_place(path, [_line(node)])}: expected a name here")
    return str(text)


def _line(node: yaml.Node | yaml.Event) -> int:
    mark = node.start_mark
    return 1 if mark is None else int(mark.line) + 1
