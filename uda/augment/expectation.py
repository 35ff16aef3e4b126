"""What a policy does on average: how often each op is applied, how many in all."""

from __future__ import annotations

from dataclasses import dataclass

from uda.augment.specs import OpSpec, Policy


@dataclass(frozen=True)
class Expected:
    """One op of a policy with how often it happens.

    Attributes:
        spec: the op and its range.
        place: "first", "drawn", "sub-policy" or "last".
        applied: expected number of times per view; a drawn op may come twice.
    """

    spec: OpSpec
    place: str
    applied: float


def expected_ops(policy: Policy) -> list[Expected]:
    """Return every op of a native policy, in the order of execution.

    An op of ``ops`` is drawn count / len(ops) times per view on average and then
    applied with its probability; one of a sub-policy has the chance that its
    sub-policy is chosen. The same op in several sub-policies has several entries.
    """
    drawn = policy.count / len(policy.ops) if policy.ops else 0.0
    chains = policy.subpolicies
    found = [Expected(spec, "first", _chance(spec, 1.0)) for spec in policy.first]
    found += [
        Expected(spec, "drawn", drawn * _chance(spec, policy.probability))
        for spec in policy.ops
    ]
    found += [
        Expected(spec, f"sub-policy {number}", _chance(spec, 1.0) / len(chains))
        for number, chain in enumerate(chains, start=1)
        for spec in chain
    ]
    found += [Expected(spec, "last", _chance(spec, 1.0)) for spec in policy.last]
    return found


def expected_count(policy: Policy) -> float:
    """Return how many ops a view passes on average; Identity does not count."""
    return sum(e.applied for e in expected_ops(policy) if e.spec.name != "Identity")


def _chance(spec: OpSpec, default: float) -> float:
    return default if spec.probability is None else spec.probability
