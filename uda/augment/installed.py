"""Policies that other installed packages offer: entry points ``uda.policies``.

They are found by name, and imported only when their name is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from uda.augment.plugins import PythonPolicy, load_entry, load_python
from uda.augment.policyfile import read_policy
from uda.augment.specs import Policy
from uda.errors import DataError

GROUP = "uda.policies"


def installed_policies() -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of each name, usually one; nothing is imported."""
    found: defaultdict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        if point not in found[point.name]:
            found[point.name].append(point)
    return {name: tuple(found[name]) for name in sorted(found)}


def distribution_of(point: EntryPoint) -> str:
    """Return name and version of the distribution an entry point comes from."""
    if point.dist is None:
        return "an unknown distribution"
    return f"{point.dist.name} {point.dist.version}"


def load_installed(name: str) -> Policy | PythonPolicy:
    """Load a policy by the name of its entry point.

    Raises:
        DataError: two distributions offer the name, or it cannot be loaded; the
            message names the distribution.
    """
    points = installed_policies()[name]
    if len({point.value for point in points}) > 1:
        offers = " and ".join(f"{distribution_of(p)} ({p.value})" for p in points)
        raise DataError(
            f"the policy {name!r} is offered by {offers}; uninstall one, or give the "
            "file's path"
        )
    try:
        found = load_entry(name, points[0].value)
        return _from_file(found) if isinstance(found, Path) else found
    except DataError as error:
        raise DataError(f"{distribution_of(points[0])}: {error}") from error


def _from_file(path: Path) -> Policy | PythonPolicy:
    if not path.is_file():
        raise DataError(f"{path}: there is no such policy file")
    return load_python(path) if path.suffix == ".py" else read_policy(path)


def source_of(policy: Policy | PythonPolicy) -> bytes:
    """Return the content of a file that loads a policy again.

    That is the policy's own file; for an object inside an installed module it is
    a short file that imports it.
    """
    if policy.path is None:
        raise DataError(f"the policy {policy.name!r} has no file to keep a copy of")
    entry = _entry_of(policy)
    if not entry:
        return Path(policy.path).read_bytes()
    module, _, attribute = entry.partition(":")
    first, *rest = attribute.split(".")
    lines = (
        f'"""The policy {policy.name} of an installed package."""\n',
        f"from {module} import {first} as _found",
        f"augment = {'.'.join(['_found', *rest])}\n",
    )
    return "\n".join(lines).encode()


def _entry_of(policy: Policy | PythonPolicy) -> str:
    """Return "module:object" of a policy that lives inside a module, else ""."""
    if isinstance(policy, PythonPolicy):
        return policy.entry
    if policy.path is None or policy.path.suffix != ".py":
        return ""
    for point in installed_policies().get(policy.name, ()):
        found = load_entry(policy.name, point.value)
        if isinstance(found, Policy) and found.path == policy.path:
            return point.value
    return ""
