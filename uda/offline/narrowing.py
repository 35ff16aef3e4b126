"""A policy taken apart: each of its ops alone, and the policy without some of them.

Also writes a native policy as YAML, with comments that say what was left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from uda.augment.effects import without_effect
from uda.augment.ops import OPS
from uda.augment.policy import OpSpec, Policy, PythonPolicy

WHOLE = "whole policy"
# Keys of a policy that act beside its ops, and what they may do to a label.
_KEYS = {
    "hflip": "Mirrors left and right: marks whose side or slant is their class swap.",
    "vflip": "Mirrors up and down: marks whose side or slant is their class swap.",
    "quarter_turns": "Turns marks whose direction is their class.",
    "crop_pad": "Pushes what lies at the edge out of the frame and mirrors its border.",
    "cutout": OPS["Cutout"].risk,
}
_IDLE = ("probability", "interpolation", "fill", "order")
_LISTS = ("ops", "first", "last")
_OFF: dict[str, Any] = {
    "ops": (), "subpolicies": (), "first": (), "last": (), "count": 0,
    "probability": 1.0, "hflip": 0.0, "vflip": 0.0, "quarter_turns": False,
    "crop_pad": 0.0, "cutout": 0.0, "source": "", "path": None,
}  # fmt: skip


@dataclass(frozen=True)
class Element:
    """One thing that a policy may do, as a policy of its own.

    Attributes:
        name: of the row in reports; unique in a policy.
        policy: does this alone, always, at the magnitudes of the whole policy.
        risk: which defects it could erase or invent.
    """

    name: str
    policy: Policy | PythonPolicy
    risk: str = ""


def elements(policy: Policy | PythonPolicy) -> tuple[Element, ...]:
    """Take a policy apart: its ops, flips, turns, crop and cutout, then the whole.

    Identity and what is never applied are left out. An op that is listed with
    several ranges comes once for each. A Python policy has no parts: it comes as a
    whole.
    """
    if isinstance(policy, PythonPolicy):
        return (Element(WHOLE, policy, "Unknown: it is a program."),)
    found = [
        Element(
            name,
            dataclasses.replace(
                policy, **{**_OFF, "name": spec.name, "ops": (spec,), "count": 1}
            ),
            OPS[spec.name].risk,
        )
        for spec, name in _named_ops(policy).items()
    ]
    for key, risk in _KEYS.items():
        value = getattr(policy, key)
        if value:
            alone = 1.0 if key.endswith("flip") else value
            changes = {**_OFF, "name": key, key: alone}
            found.append(Element(key, dataclasses.replace(policy, **changes), risk))
    return (*found, Element(WHOLE, policy))


def _named_ops(policy: Policy) -> dict[OpSpec, str]:
    """Return the policy's distinct ops with their names, each as short as is unique.

    How often one is applied makes no other op.
    """
    specs = dict.fromkeys(
        _bare(spec)
        for spec in policy.every_op()
        if spec.name != "Identity" and spec.probability != 0
    )
    named: dict[OpSpec, str] = {}
    for spec in specs:
        alike = [_names(other) for other in specs if other.name == spec.name]
        named[spec] = next(
            name
            for length, name in enumerate(_names(spec))
            if [names[length] for names in alike].count(name) == 1
        )
    return named


def _bare(spec: OpSpec) -> OpSpec:
    return dataclasses.replace(spec, probability=None)


def _names(spec: OpSpec) -> tuple[str, str, str]:
    """Return an op's name alone, with its range, and with all it says."""
    low, high = spec.low, spec.high
    if low is None or high is None:
        return spec.name, spec.name, spec.name
    near = f"{low:g}" if low == high else f"{low:g}..{high:g}"
    exact = f"{low}" if low == high else f"{low}..{high}"
    levels = f", {spec.levels} levels" if spec.levels is not None else ""
    mirrored = ", mirrored" if spec.mirrored else ""
    return spec.name, f"{spec.name} {near}", f"{spec.name} {exact}{levels}{mirrored}"


def without(policy: Policy, names: Collection[str]) -> Policy:
    """Return a policy without some of its elements.

    The number of drawn ops stays, unless none is left to draw. A sequence of
    ``subpolicies`` that loses all its ops becomes Identity, so that the others are
    drawn as often as before.

    Args:
        policy: the policy.
        names: names of elements, as `elements` gives them.
    """
    gone = {spec for spec, name in _named_ops(policy).items() if name in names}

    def kept(listed: Sequence[OpSpec]) -> tuple[OpSpec, ...]:
        return tuple(spec for spec in listed if _bare(spec) not in gone)

    changes: dict[str, Any] = {key: kept(getattr(policy, key)) for key in _LISTS}
    changes["subpolicies"] = tuple(
        kept(sequence) or (OpSpec("Identity"),) for sequence in policy.subpolicies
    )
    changes |= {key: _OFF[key] for key in _KEYS if key in names}
    if not changes["ops"]:
        changes["count"] = 0
    narrowed = dataclasses.replace(policy, **changes, path=None)
    # What decides nothing any more must not stand in a file, which is refused then.
    defaults: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(policy)}
    idle = {key: defaults[key] for key in without_effect(narrowed) if key in _IDLE}
    return dataclasses.replace(narrowed, **idle)


def policy_text(policy: Policy, comments: Sequence[str] = ()) -> str:
    """Write a native policy as YAML that `load_policy` reads back.

    Args:
        policy: the policy.
        comments: lines for the top of the file.
    """
    lines = [f"# {line}".rstrip() for text in comments for line in text.splitlines()]
    default = {f.name: f.default for f in dataclasses.fields(policy)}
    for key, value in _values(policy).items():
        if key in ("path", "ops", "first", "last", "subpolicies"):
            continue
        if key == "name" or value != default[key]:
            lines.append(_entry(key, value))
    for key in ("first", "ops", "last"):
        specs = getattr(policy, key)
        if specs:
            lines += [f"{key}:", *(f"  - {_spec(spec)}" for spec in specs)]
    if policy.subpolicies:
        lines.append("subpolicies:")
        lines += [
            f"  - [{', '.join(_spec(spec) for spec in sequence)}]"
            for sequence in policy.subpolicies
        ]
    return "\n".join(lines) + "\n"


def _values(value: Any) -> Mapping[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def _entry(key: str, value: Any) -> str:
    # Through the library, for texts that need quotes.
    text: str = yaml.safe_dump({key: value}, width=1_000_000, allow_unicode=True)
    return text.rstrip("\n")


def _spec(spec: OpSpec) -> str:
    values = {**_values(spec), "op": spec.name}
    given = {
        key: values[key]
        for key in ("op", "low", "high", "levels", "probability", "mirrored")
        if values[key] is not None and values[key] is not False
    }
    text: str = yaml.safe_dump(
        given, default_flow_style=True, sort_keys=False, width=1_000_000
    )
    return text.rstrip("\n")
