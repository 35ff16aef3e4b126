"""Policies: what a view may look like. Found by name or file, native or Python.

A native policy (``specs``) is a frozen value, read from YAML by ``policyfile``; a
Python policy wraps one function of the user's own file, loaded by ``plugins``.
"""

from __future__ import annotations

from pathlib import Path

from uda.augment import plugins
from uda.augment.plugins import PythonPolicy
from uda.augment.policyfile import read_policy
from uda.augment.specs import OpSpec, Policy, did_you_mean
from uda.errors import UsageError

__all__ = [
    "OpSpec", "Policy", "PythonPolicy", "load_policy", "packaged_policies",
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
    if not folder.is_dir():
        return {}
    files = sorted(f for f in folder.resolve().iterdir() if f.suffix in _SUFFIXES)
    return {file.stem: file for file in files if file.is_file()}


def load_policy(name_or_path: str) -> Policy | PythonPolicy:
    """Load a policy by name or from a file.

    A path to a file is taken as it is; a name is looked up in ``./policies``
    and then among the packaged policies.

    Args:
        name_or_path: "uda", "path/to/mine.yaml" or "path/to/mine.py".

    Raises:
        UsageError: nothing of that name exists.
        DataError: the file cannot be used; the message names file and fault.
    """
    path = _find(name_or_path)
    if path.suffix == ".py":
        return plugins.load_python(path)
    return read_policy(path)


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        if path.is_file() and path.suffix in _SUFFIXES:
            return path
        raise UsageError(
            f"{name_or_path}: there is no such policy file (.yaml, .yml or .py)"
        )
    known = {**packaged_policies(), **_policies_in(Path("policies"))}
    if name_or_path not in known:
        raise UsageError(
            f"unknown policy {name_or_path!r}{did_you_mean(name_or_path, known)}; "
            f"give a file, or one of {', '.join(sorted(known))}"
        )
    return known[name_or_path]
