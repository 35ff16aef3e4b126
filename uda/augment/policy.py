"""Policies: what a view may look like. Found by name or file, native or Python.

A native policy (``specs``) is a frozen value, read from YAML by ``policyfile``; a
Python policy wraps what the user's own file defines, loaded by ``plugins``.
"""

from __future__ import annotations

from pathlib import Path

from uda.augment import plugins
from uda.augment.installed import installed_policies, load_installed
from uda.augment.plugins import PythonPolicy
from uda.augment.policyfile import read_policy
from uda.augment.specs import OpSpec, Policy
from uda.errors import DataError, UsageError
from uda.words import did_you_mean

__all__ = [
    "OpSpec", "Policy", "PythonPolicy", "installed_policies", "load_policy",
    "packaged_policies", "policy_file", "twins",
]  # fmt: skip

_SUFFIXES = (".yaml", ".yml", ".py")
_PACKAGE = Path(__file__).resolve().parent.parent


def packaged_policies() -> dict[str, Path]:
    """Return the policies that come with the package, name -> file.

    They lie inside an installed package, and beside it (at the top of the
    repository) in an editable install.
    """
    inside, beside = _PACKAGE / "policies", _PACKAGE.parent / "policies"
    return _policies_in(inside if inside.is_dir() else beside)


def _policies_in(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in _files_in(folder)}


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = sorted(f for f in folder.resolve().iterdir() if f.suffix in _SUFFIXES)
    return [file for file in files if file.is_file()]


def twins(name: str) -> str:
    """Say which files of ``./policies`` share a name; nothing where it is clear."""
    files = [f.name for f in _files_in(Path("policies")) if f.stem == name]
    if len(files) < 2:
        return ""
    return (
        f"{' and '.join(f'policies/{file}' for file in files)} have this name: rename "
        f"one, or give one by its path"
    )


def load_policy(name_or_path: str, *, record: bool = False) -> Policy | PythonPolicy:
    """Load a policy by name or from a file.

    A path to a file is taken as it is; a name is looked up in ``./policies``,
    among the entry points ``uda.policies`` of installed packages, and then among
    the policies of this package. The first one wins.

    Args:
        name_or_path: "uda", "path/to/mine.yaml" or "path/to/mine.py".
        record: whether a file is a run's own copy, as for `read_policy`.

    Raises:
        UsageError: nothing of that name exists.
        DataError: the file cannot be used, or two files of ``./policies`` have the
            name; the message names file and fault.
    """
    path = Path(name_or_path)
    if path.suffix not in _SUFFIXES and len(path.parts) <= 1:
        return _load_named(name_or_path)
    if path.is_file() and path.suffix in _SUFFIXES:
        return _load_file(path, record=record)
    raise UsageError(
        f"{name_or_path}: there is no such policy file (.yaml, .yml or .py)"
        f"{_file_hint(path)}"
    )


def policy_file(name_or_path: str) -> Path | None:
    """Return the file that ``load_policy`` would read; nothing is read or run.

    Returns:
        None where there is none: an entry point, or a name that is unknown or means
        two files.
    """
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        return path if path.is_file() else None
    local = _policies_in(Path("policies"))
    if name_or_path not in local and name_or_path in installed_policies():
        return None
    if twins(name_or_path):
        return None
    return {**packaged_policies(), **local}.get(name_or_path)


def _load_file(path: Path, *, record: bool = False) -> Policy | PythonPolicy:
    if path.suffix == ".py":
        return plugins.load_python(path)
    return read_policy(path, record=record)


def _file_hint(path: Path) -> str:
    """Return a question where the path only lacks its suffix."""
    if not path.name:
        return ""
    names = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    found = [str(file) for file in names if file.is_file()]
    return f" (did you mean the file {' or '.join(found)}?)" if found else ""


def _load_named(name: str) -> Policy | PythonPolicy:
    local, packaged = _policies_in(Path("policies")), packaged_policies()
    if clash := twins(name):
        raise DataError(f"policy {name!r}: {clash}")
    if name in local:
        return _load_file(local[name])
    installed = installed_policies()
    if name in installed:
        return load_installed(name)
    if name in packaged:
        return _load_file(packaged[name])
    known = {**local, **installed, **packaged}
    raise UsageError(
        f"unknown policy {name!r}{_file_hint(Path(name)) or did_you_mean(name, known)}"
        f"; give a file (.yaml, .yml or .py; those in ./policies by name alone), or "
        f"one of {', '.join(sorted(known))}"
    )
