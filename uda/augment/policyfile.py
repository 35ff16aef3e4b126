"""Native policies from YAML: strict keys, and errors that name file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from uda.augment.specs import OpSpec, Policy, did_you_mean
from uda.errors import DataError

_TYPES: dict[str, type] = {
    "name": str, "source": str, "fill": str, "order": str,
    "count": int, "quarter_turns": bool,
    "probability": float, "hflip": float, "vflip": float,
    "crop_pad": float, "cutout": float, "ops": list,
}  # fmt: skip
_OP_TYPES: dict[str, type] = {"op": str, "low": float, "high": float, "levels": int}
_WORDS = {
    str: "text", int: "a whole number", bool: "true or false",
    float: "a number", list: "a list", dict: "a mapping of key: value",
}  # fmt: skip


def read_policy(path: Path) -> Policy:
    """Read a native policy.

    Args:
        path: a YAML file; see policies/README.md for its keys.

    Raises:
        DataError: broken YAML, an unknown or repeated key, a value of the wrong
            type or outside its range; the message names file and line.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise DataError(f"{path}{line}: is not YAML ({error.problem})") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is not YAML ({error})") from error
    if root is None:
        raise DataError(f"{path}: is empty")
    return _policy(path, root)


def _policy(path: Path, root: yaml.Node) -> Policy:
    nodes = _mapping(path, root, _TYPES)
    values = {
        key: _value(path, key, node, _TYPES[key])
        for key, node in nodes.items()
        if key != "ops"
    }
    values.setdefault("name", path.stem)
    ops = nodes.get("ops")
    if ops is not None:
        values["ops"] = _specs(path, ops)
    try:
        return Policy(path=path, **values)
    except DataError as error:
        raise DataError(
            f"{path}{_line(_guilty(error, nodes, root))}: {error}"
        ) from error


def _specs(path: Path, node: yaml.Node) -> tuple[OpSpec, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise DataError(f"{path}{_line(node)}: ops must be a list, one op per line")
    return tuple(_spec(path, item) for item in node.value)


def _spec(path: Path, node: yaml.Node) -> OpSpec:
    nodes = _mapping(path, node, _OP_TYPES)
    values = {k: _value(path, k, n, _OP_TYPES[k]) for k, n in nodes.items()}
    if "op" not in values:
        raise DataError(f"{path}{_line(node)}: an entry of ops needs 'op: NAME'")
    try:
        return OpSpec(values.pop("op"), **values)
    except DataError as error:
        raise DataError(f"{path}{_line(node)}: {error}") from error


def _mapping(
    path: Path, node: yaml.Node, known: dict[str, type]
) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise DataError(f"{path}{_line(node)}: expected {_WORDS[dict]}")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        word = str(key.value)
        if word not in known:
            raise DataError(
                f"{path}{_line(key)}: unknown key {word!r}{did_you_mean(word, known)}; "
                f"the keys are {', '.join(known)}"
            )
        if word in found:
            raise DataError(f"{path}{_line(key)}: the key {word!r} is given twice")
        found[word] = value
    return found


def _value(path: Path, key: str, node: yaml.Node, kind: type) -> Any:
    value = _scalar(node)
    fits: Callable[[Any], bool] = _FITS[kind]
    if not fits(value):
        shown = "a nested value" if value is None else repr(value)
        raise DataError(
            f"{path}{_line(node)}: {key} must be {_WORDS[kind]}, not {shown}"
        )
    return kind(value)


_FITS: dict[type, Callable[[Any], bool]] = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _scalar(node: yaml.Node) -> Any:
    """Return a scalar's Python value; None for anything nested."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        return str(node.value)


def _guilty(
    error: DataError, nodes: dict[str, yaml.Node], root: yaml.Node
) -> yaml.Node:
    """Return the node of the key a message starts with, or the whole file."""
    return nodes.get(str(error).split(" ", 1)[0], root)


def _line(node: yaml.Node) -> str:
    return f":{node.start_mark.line + 1}"
