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
_IDLE = ("probability", "interpolation", "fill")
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

    Identity is left out. An op that is listed with several ranges comes once for
    each. A Python policy has no parts: it comes as a whole.
    """
    if isinstance(policy, PythonPolicy):
        return (Element(WHOLE, policy, "Unknown: it is a program."),)
    specs = _specs(policy)
    names = [spec.name for spec in specs]
    found = [
        Element(
            spec_name(spec, repeated=names.count(spec.name) > 1),
            dataclasses.replace(
                policy, **{**_OFF, "name": spec.name, "ops": (spec,), "count": 1}
            ),
            OPS[spec.name].risk,
        )
        for spec in specs
    ]
    for key, risk in _KEYS.items():
        value = getattr(policy, key)
        if value:
            alone = 1.0 if key.endswith("flip") else value
            changes = {**_OFF, "name": key, key: alone}
            found.append(Element(key, dataclasses.replace(policy, **changes), risk))
    return (*found, Element(WHOLE, policy))


def _specs(policy: Policy) -> list[OpSpec]:
    """Return the policy's distinct ops; how often one is applied makes no other."""
    listed = (_bare(spec) for spec in policy.every_op() if spec.name != "Identity")
    return list(dict.fromkeys(listed))


def _bare(spec: OpSpec) -> OpSpec:
    return dataclasses.replace(spec, probability=None)


def spec_name(spec: OpSpec, *, repeated: bool) -> str:
    """Return an op's name, with its range where the policy has it several times."""
    if not repeated or spec.low is None or spec.high is None:
        return spec.name
    if spec.low == spec.high:
        return f"{spec.name} {spec.low:g}"
    return f"{spec.name} {spec.low:g}..{spec.high:g}"


def without(policy: Policy, names: Collection[str]) -> Policy:
    """Return a policy without some of its elements.

    The number of drawn ops stays, unless none is left to draw. A sequence of
    ``subpolicies`` that loses all its ops becomes Identity, so that the others are
    drawn as often as before.

    Args:
        policy: the policy.
        names: names of elements, as `elements` gives them.
    """
    specs = _specs(policy)
    all_names = [spec.name for spec in specs]
    gone = {
        spec
        for spec in specs
        if spec_name(spec, repeated=all_names.count(spec.name) > 1) in names
    }

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
