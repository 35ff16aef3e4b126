"""Reads a YAML file of settings, strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from uda.errors import UsageError
from uda.training.config import flatten

MAX_CONFIG_BYTES = 1_000_000


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a YAML file of (nested or dotted) keys; see `read_mapping`."""
    return flatten(read_mapping(path, "--config"))


def read_mapping(path: Path, flag: str) -> dict[str, Any]:
    """Read a YAML file of keys and values; duplicates are an error.

    Raises:
        UsageError: naming the flag, the file, and the line where YAML knows it.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{flag} {path}: no such file")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UsageError(f"{flag} {path}: larger than {MAX_CONFIG_BYTES} bytes")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag} {path}: not valid YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{flag} {path}: must hold keys and values")
    return tree


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (plain YAML keeps the last)."""


def _unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in result:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", key_node.start_mark
            )
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_StrictLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping
)
