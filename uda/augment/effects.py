"""Which keys of a policy decide nothing, and why.

Such a key is a misunderstanding: its author believes in an effect that is not
there. A policy file with one is refused; a value made by a program may carry it.
"""

from __future__ import annotations

from collections.abc import Iterator

from uda.augment.ops import OPS
from uda.augment.specs import OpSpec, Policy

# What asks for pixels from outside the frame. A resized crop lies inside, and its
# interpolation is bilinear whatever the policy says.
_MOVING = frozenset({"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"})
# Translations are by whole pixels: nothing lies between.
_BETWEEN = frozenset({"ShearX", "ShearY", "Rotate"})


def without_effect(policy: Policy) -> dict[str, str]:
    """Find the keys of a policy that do not change any view.

    Keys at a value that says "off" (``hflip: 0``, ``cutout: 0``) are not counted.

    Returns:
        The key -> why it has no effect and what to do, a part of a sentence.
    """
    return dict(_idle_keys(policy))


def _idle_keys(policy: Policy) -> Iterator[tuple[str, str]]:
    names = {spec.name for spec in policy.every_op()}
    if policy.ops and not policy.count:
        yield "ops", "count is 0, so that none is drawn: set count, ops per image"
    if not _has_order(policy, names):
        yield (
            "order",
            "it is that of turns, flips and crop against ops and cutout, and not both "
            "are there: take it away",
        )
    if policy.subpolicies:
        yield "count", "one of the subpolicies is drawn as a whole: take it away"
    if not policy.ops:
        yield (
            "probability",
            "it is that of the ops drawn from 'ops'; give an op of another list a "
            "probability of its own",
        )
    elif all(spec.probability is not None for spec in policy.ops):
        yield "probability", "each of the ops has a probability of its own"
    if not names & _BETWEEN:
        yield (
            "interpolation",
            f"none of {_and(_BETWEEN)} is among the ops, and no other op asks for it",
        )
    yield from _idle_fill(policy, names)


def _idle_fill(policy: Policy, names: set[str]) -> Iterator[tuple[str, str]]:
    if policy.fill == "reflect" and not names & _MOVING:
        yield "fill", f"only {_and(_MOVING)} reflect, and none is among the ops"
    elif not (names & (_MOVING | {"Cutout"}) or policy.cutout):
        yield (
            "fill",
            f"neither cutout nor any of {_and(_MOVING | {'Cutout'})} is there to "
            "write it",
        )


def _has_order(policy: Policy, names: set[str]) -> bool:
    moves = policy.hflip or policy.vflip or policy.quarter_turns or policy.crop_pad
    return bool(moves and (names - {"Identity"} or policy.cutout))


def _and(names: frozenset[str]) -> str:
    ordered = [name for name in OPS if name in names]
    return f"{', '.join(ordered[:-1])} and {ordered[-1]}"


def op_without_effect(spec: OpSpec) -> dict[str, str]:
    """Find the keys of one op that change nothing: key -> why."""
    found = {}
    if spec.levels is not None and spec.low == spec.high:
        found["levels"] = "low and high are the same: take it away"
    elif spec.levels == 1:
        found["levels"] = "one level is always low: make high the same as low instead"
    if spec.mirrored and spec.low == spec.high == 1:
        found["mirrored"] = "a factor of 1 mirrored is 1"
    return found
