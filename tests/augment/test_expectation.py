"""Expected numbers of ops against a count over many drawn plans."""

from __future__ import annotations

import numpy as np
import pytest

from uda.augment.expectation import expected_count, expected_ops
from uda.augment.ops import OPS
from uda.augment.plan import draw
from uda.augment.policy import OpSpec, Policy, load_policy, packaged_policies

MANY = 8_000


def counted(policy):
    """Applied ops per view, without Identity, over many draws."""
    plan = draw(
        policy, seed=3, stream="strong", counters=np.arange(MANY), shape=(32, 32)
    )
    return {
        name: float((plan.op == op.id).sum() / MANY)
        for name, op in OPS.items()
        if name != "Identity"
    }


NESTED = Policy(
    "nested",
    first=(OpSpec("Blur", 1, 2, probability=0.3),),
    last=(OpSpec("Jpeg", 20, 80),),
    subpolicies=(
        (OpSpec("Rotate", 3, 9, probability=0.7), OpSpec("Invert", probability=0.2)),
        (OpSpec("Invert"),),
    ),
)
NATIVE = sorted(n for n, path in packaged_policies().items() if path.suffix != ".py")


@pytest.mark.parametrize("name", [*NATIVE, "nested"])
def test_expected_is_what_is_drawn(name):
    policy = NESTED if name == "nested" else load_policy(name)
    assert isinstance(policy, Policy)
    found = counted(policy)
    expected = dict.fromkeys(found, 0.0)
    for entry in expected_ops(policy):
        if entry.spec.name != "Identity":
            expected[entry.spec.name] += entry.applied
    assert found == pytest.approx(expected, abs=0.05)  # some standard deviations
    assert sum(found.values()) == pytest.approx(expected_count(policy), abs=0.08)


def test_places_are_in_the_order_of_execution():
    assert [e.place for e in expected_ops(NESTED)] == [
        "first",
        "sub-policy 1",
        "sub-policy 1",
        "sub-policy 2",
        "last",
    ]
    assert expected_ops(Policy("none")) == []
    assert expected_count(Policy("none")) == 0
