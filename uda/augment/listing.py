"""Names every policy that can be used here, and says what is wrong with the others.

Python files are parsed, never run, and entry points are not imported.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass, replace
from pathlib import Path

from uda.augment.installed import distribution_of, installed_policies
from uda.augment.policy import packaged_policies, twins
from uda.augment.policyfile import read_policy
from uda.errors import DataError

_SUFFIXES = (".yaml", ".yml", ".py")
_OWN = "./policies"
_PACKAGED = "uda"


@dataclass(frozen=True)
class Listed:
    """One policy by name.

    Attributes:
        name: as given to ``--strong``.
        origin: "./policies", "uda", or the distribution of an entry point.
        kind: "YAML" or "Python".
        about: the first sentence that its file says about itself.
        fault: why it cannot be used, or which other one its name means; else empty.
    """

    name: str
    origin: str
    kind: str
    about: str = ""
    fault: str = ""


def list_policies() -> list[Listed]:
    """Return all policies in the order in which a name is looked up.

    First those of ``./policies``, then entry points of installed packages, then
    those of this package. A name that is taken already is listed with its fault.
    """
    packaged = {path.resolve(): path for path in packaged_policies().values()}
    local = {path.resolve(): path for path in _files(Path("policies"))}
    found = [_listed(path, _OWN) for key, path in local.items() if key not in packaged]
    for name, points in installed_policies().items():
        origin = distribution_of(points[0])
        values = sorted({point.value for point in points})
        fault = f"offered twice: {', '.join(values)}" if len(values) > 1 else ""
        found.append(Listed(name, origin, "Python", f"entry point {values[0]}", fault))
    found += [_listed(path, _PACKAGED) for path in packaged.values()]
    return _with_hidden(found)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES and p.is_file())


def _with_hidden(found: list[Listed]) -> list[Listed]:
    first: dict[str, str] = {}
    result = []
    for entry in found:
        winner = first.setdefault(entry.name, entry.origin)
        if winner != entry.origin:
            entry = replace(entry, fault=f"the name means that of {winner}")
        elif entry.origin == _OWN and (clash := twins(entry.name)):
            entry = replace(entry, fault=clash)
        result.append(entry)
    return result


def _listed(path: Path, origin: str) -> Listed:
    if path.suffix == ".py":
        about, fault = _read_python(path)
        return Listed(path.stem, origin, "Python", about, fault)
    try:
        policy = read_policy(path)
    except DataError as error:
        return Listed(path.stem, origin, "YAML", fault=str(error))
    about = _sentence(_comment(path)) or _sentence(policy.source)
    return Listed(path.stem, origin, "YAML", about)


def _read_python(path: Path) -> tuple[str, str]:
    """Return what a Python file says it is, and what is wrong with it."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{path}:{line}" if line else str(path)
        return "", f"{where}: {error.args[0]}"
    except OSError as error:
        return "", f"{path}: cannot be read ({error.strerror})"
    missing = [name for name in _imports(tree) if not _exists(name)]
    fault = f"needs {', '.join(missing)}, which is not installed" if missing else ""
    return _sentence(ast.get_docstring(tree) or ""), fault


def _imports(tree: ast.Module) -> list[str]:
    """Return the packages that a file imports at its top level."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _exists(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _comment(path: Path) -> str:
    """Return the comment at the head of a YAML file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)


def _sentence(text: str) -> str:
    """Return the first sentence of a text, without its full stop."""
    flat = " ".join(text.split())
    return re.split(r"\.(?:\s|$)", flat, maxsplit=1)[0]
