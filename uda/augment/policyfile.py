"""Native policies from YAML: strict keys, and errors that name file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from uda.augment.effects import op_without_effect, without_effect
from uda.augment.ops import OPS
from uda.augment.specs import MAX_SLOTS, OpSpec, Policy, brief
from uda.errors import DataError
from uda.words import did_you_mean

_TYPES: dict[str, type] = {
    "name": str, "source": str, "fill": str, "order": str, "interpolation": str,
    "count": int, "quarter_turns": bool,
    "probability": float, "hflip": float, "vflip": float,
    "crop_pad": float, "cutout": float,
    "first": list, "ops": list, "subpolicies": list, "last": list,
}  # fmt: skip
_OP_TYPES: dict[str, type] = {
    "op": str, "low": float, "high": float, "levels": int,
    "probability": float, "mirrored": bool,
}  # fmt: skip
_WORDS = {
    str: "text", int: "a whole number", bool: "true or false",
    float: "a number", list: "a list", dict: "a mapping of key: value",
}  # fmt: skip
# Longest lists: an alias costs one word in the file and a list's length in time.
_MOST = {"ops": 1000, "subpolicies": 1000}
# Beyond any count or number of levels.
_HUGE = 10**9
# A key of ours with its value, and no space between.
_GLUED = re.compile(rf"^[\s{{-]*({'|'.join({**_TYPES, **_OP_TYPES})}):([^\s,}}]+)")
_ELSEWHERE = {"magnitude", "value", "strength", "level", "range", "m"}
_Nodes = dict[str, tuple[yaml.Node, yaml.Node]]  # word -> nodes of key and value


def read_policy(path: Path, *, record: bool = False) -> Policy:
    """Read a native policy.

    Args:
        path: a YAML file; see policies/README.md for its keys.
        record: whether it is a run's own copy, which nobody edits: keys of it without
            effect are then read over.

    Raises:
        DataError: broken YAML, an unknown or repeated key, a value of the wrong
            type or outside its range, a key that has no effect; the message names
            file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read: save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise DataError(
            f"{path}{line}: is not YAML ({error.problem}); {_layout_hint(text)}"
        ) from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is not YAML ({error})") from error
    except RecursionError as error:
        raise DataError(f"{path}: lists are nested too deeply") from error
    if root is None:
        raise DataError(f"{path}: is empty")
    policy, nodes = _policy(path, root)
    if not record:
        _refuse_idle(path, nodes, without_effect(policy))
    return policy


def _layout_hint(text: str) -> str:
    """Name the likeliest reason why a text is not YAML."""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return f"line {number} begins with a tab: indent by spaces"
    for number, line in enumerate(lines, start=1):
        found = _GLUED.match(line)
        if found:
            return f"line {number}: a space after the colon, {found[1]}: {found[2]}"
    return (
        "see to the indentation: items of a list start with '- ' below each other, "
        "and each { and [ is closed"
    )


def _policy(path: Path, root: yaml.Node) -> tuple[Policy, _Nodes]:
    nodes = _mapping(path, root, _TYPES)
    values: dict[str, Any] = {"name": path.stem}
    for key, (_, node) in nodes.items():
        if _TYPES[key] is not list:
            values[key] = _value(path, key, node, _TYPES[key])
        elif key == "subpolicies":
            values[key] = tuple(
                _specs(path, key, item, MAX_SLOTS)
                for item in _items(path, key, node, _MOST[key])
            )
        else:
            values[key] = _specs(path, key, node, _MOST.get(key, MAX_SLOTS))
    try:
        policy = Policy(path=path, **values)
    except DataError as error:
        guilty, _ = nodes.get(_word(error), (root, root))
        raise DataError(f"{path}{_line(guilty)}: {error}") from error
    return policy, nodes


def _specs(path: Path, key: str, node: yaml.Node, most: int) -> tuple[OpSpec, ...]:
    return tuple(_spec(path, key, item) for item in _items(path, key, node, most))


def _items(path: Path, key: str, node: yaml.Node, most: int) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        kind = (
            "a list of lists of ops, - [{op: NAME}, {op: NAME}]"
            if key == "subpolicies"
            else "a list, one op per line"
        )
        raise DataError(f"{path}{_line(node)}: {key} must be {kind}")
    if not node.value:
        raise DataError(
            f"{path}{_line(node)}: {key} has an empty list; name an op in it, or take "
            "it away"
        )
    items: list[yaml.Node] = node.value
    if len(items) > most:
        raise DataError(
            f"{path}{_line(node)}: {key} has a list of {len(items)}; at most {most} "
            "are allowed"
        )
    return items


def _spec(path: Path, key: str, node: yaml.Node) -> OpSpec:
    if isinstance(node, yaml.ScalarNode) and node.value in OPS:
        op = OPS[node.value]
        ends = f", low: LOW, high: HIGH}}, in {op.unit}" if op.has_magnitude else "}"
        raise DataError(
            f"{path}{_line(node)}: expected {_WORDS[dict]}; write - {{op: {op.name}"
            f"{ends}"
        )
    nodes = _mapping(path, node, _OP_TYPES)
    values = {k: _value(path, k, n, _OP_TYPES[k]) for k, (_, n) in nodes.items()}
    if "op" not in values:
        raise DataError(f"{path}{_line(node)}: an entry of {key} needs 'op: NAME'")
    name = values.pop("op")
    try:
        spec = OpSpec(name, **values)
    except DataError as error:
        guilty = _guilty_key(str(error), values)
        at = nodes[guilty][0] if guilty else node
        raise DataError(f"{path}{_line(at)}: {error}") from error
    _refuse_idle(path, nodes, op_without_effect(spec), f"{name}: ")
    return spec


def _guilty_key(message: str, values: dict[str, Any]) -> str | None:
    """Return the key that a message "NAME: ..." is about: by its name or value."""
    word = _word(message.partition(": ")[2])
    return next((k for k, v in values.items() if word in (k, str(v))), None)


def _word(message: object) -> str:
    return str(message).split(" ", 1)[0]


def _refuse_idle(
    path: Path, nodes: _Nodes, idle: dict[str, str], what: str = ""
) -> None:
    for key, (node, _) in nodes.items():
        if key in idle:
            raise DataError(
                f"{path}{_line(node)}: {what}{key} has no effect: {idle[key]}"
            )


def _mapping(path: Path, node: yaml.Node, known: dict[str, type]) -> _Nodes:
    if not isinstance(node, yaml.MappingNode):
        glued = _GLUED.match(str(node.value))
        hint = f"; a space after the colon, {glued[1]}: {glued[2]}" if glued else ""
        raise DataError(f"{path}{_line(node)}: expected {_WORDS[dict]}{hint}")
    found: _Nodes = {}
    for key, value in node.value:
        word = str(key.value)
        if word not in known:
            raise DataError(
                f"{path}{_line(key)}: unknown key {brief(word)}"
                f"{_key_hint(word, known)}; "
                f"the keys are {', '.join(known)}"
            )
        if word in found:
            raise DataError(f"{path}{_line(key)}: the key {word!r} is given twice")
        found[word] = (key, value)
    return found


def _key_hint(word: str, known: dict[str, type]) -> str:
    glued = _GLUED.match(word)
    if glued:
        return f" (a space after the colon, {glued[1]}: {glued[2]})"
    if word in _ELSEWHERE and "low" in known:
        return " (give low and high, the same for one magnitude)"
    return did_you_mean(word, known)


def _value(path: Path, key: str, node: yaml.Node, kind: type) -> Any:
    value = _scalar(node)
    fits: Callable[[Any], bool] = _FITS[kind]
    if not fits(value):
        shown = "a nested value" if isinstance(value, yaml.Node) else brief(value)
        raise DataError(
            f"{path}{_line(node)}: {key} must be {_WORDS[kind]}, not {shown}"
            f"{_hint(value, kind)}"
        )
    try:
        result = kind(value)
    except OverflowError as error:
        raise DataError(f"{path}{_line(node)}: {key} is far too large") from error
    if kind is int and abs(result) > _HUGE:
        raise DataError(f"{path}{_line(node)}: {key} is far too large")
    return result


def _hint(value: object, kind: type) -> str:
    """Tell of YAML's traps: 1e-3 is text to it, and an empty value is null."""
    if value is None:
        return " (nothing is written after the colon)"
    if kind is float and isinstance(value, str):
        text = value.strip()
        percent = text.endswith("%")
        try:
            number = float(text.rstrip("% ").replace(",", "."))
            number = number / 100 if percent else number
            return f" (in YAML write {number!r}, with a point and no quotes)"
        except ValueError:
            return ""
    return ""


_FITS: dict[type, Callable[[Any], bool]] = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _scalar(node: yaml.Node) -> Any:
    """Return a scalar's Python value; the node itself for anything nested."""
    if not isinstance(node, yaml.ScalarNode):
        return node
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError):
        # Whatever an explicit tag ("!!int ''") makes YAML's own conversion raise.
        return str(node.value)


def _line(node: yaml.Node) -> str:
    return f":{node.start_mark.line + 1}"
