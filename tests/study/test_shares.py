"""Shares of labels: nested, whole groups, every class, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.splits import Split, SplitRow
from uda.errors import UsageError
from uda.study.request import Planned
from uda.study.shares import curve_plan, thin
from uda.study.strategies import Strategy

rows = st.lists(
    st.tuples(
        st.sampled_from("ABC"), st.integers(0, 4),
        st.sampled_from(["labeled", "validation", "unlabeled", "test"]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


def split_of(drawn):
    return Split(
        tuple(
            SplitRow(f"{i}.png", part, label, f"{part}{label}{group}", "")
            for i, (label, group, part) in enumerate(drawn)
        )
    )


def labeled(split):
    return {row.path for row in split.part("labeled")}


@given(rows, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_smaller_share_is_inside_a_larger_one(drawn, one, other, seed):
    split = split_of(drawn)
    low, high = (thin(split, share, seed=seed) for share in sorted((one, other)))
    assert labeled(low) <= labeled(high) <= labeled(split)
    assert [r.path for r in low.rows] == [r.path for r in split.rows]
    for part in ("validation", "test"):
        assert low.part(part) == split.part(part)
    for name in "ABC":
        whole = {r.group for r in split.part("labeled") if r.label == name}
        kept = {r.group for r in low.part("labeled") if r.label == name}
        hidden = {r.group for r in low.part("unlabeled") if r.label == name}
        assert bool(kept) == bool(whole)
        assert not kept & hidden
        share = min(one, other)
        assert len(kept) == max(bool(whole), -int(-share * len(whole) // 1))


def test_all_of_the_labels_is_the_split_itself():
    split = split_of([("A", 0, "labeled"), ("A", 1, "labeled"), ("B", 0, "test")])
    assert thin(split, 1.0, seed=0) == split


def test_a_curve_is_one_strategy_at_several_shares():
    plan = curve_plan(Planned(Strategy("s", ("--lr", "1")), {"a": 1}), (0.25, 1.0, 0.5))
    assert [p.strategy.share for p in plan] == [1.0, 0.5, 0.25]
    assert len({p.strategy.slug for p in plan}) == 3
    assert all(p.keys == {"a": 1} for p in plan)


@pytest.mark.parametrize("shares", [(0.5,), (0.0, 1.0), (0.5, 1.5), (0.5, 0.5)])
def test_shares_that_make_no_curve(shares):
    with pytest.raises(UsageError, match="two or more shares"):
        curve_plan(Planned(Strategy("s"), {}), shares)


def test_a_curve_ends_at_all_labels():
    with pytest.raises(UsageError, match=r"largest share is 0.5; add 1"):
        curve_plan(Planned(Strategy("s"), {}), (0.25, 0.5))


def test_close_shares_have_names_of_their_own():
    plan = curve_plan(Planned(Strategy("s"), {}), (0.12, 0.125, 1))
    assert len({p.strategy.slug for p in plan}) == 3


def test_a_curve_needs_models_of_its_own():
    with pytest.raises(UsageError, match="take that one"):
        curve_plan(Planned(Strategy("s", of="t", tune="bias"), {}), (0.5, 1.0))
