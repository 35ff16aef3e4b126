from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from uda.data.grouping import Facts, gather
from uda.data.labels import (
    draw_labels,
    draw_share,
    refuse_bad_counts,
    refuse_bad_share,
)
from uda.data.records import scan
from uda.errors import UsageError

CLASSES = ("A", "B", "C")


def facts_of(root: Path, **sizes: int) -> Facts:
    """Write images in pairs of one group each: A/0.png and A/1.png are of A0."""
    groups = {}
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for i in range(size):
            (root / name / f"{i:02}.png").write_text(f"{name} {i}")
            groups[f"{name}/{i:02}.png"] = f"{name}{i // 2}"
    return gather(scan(root, min_classes=0), groups)


def by_class(facts: Facts, paths: set[str]) -> Counter[str | None]:
    return Counter(facts.records[path].label for path in paths)


def test_labels_top_up_from_further_groups(tmp_path):
    facts = facts_of(tmp_path, A=6, B=1)
    rest = [f"A/{i:02}.png" for i in range(1, 6)]
    before = {"A/00.png": "A", "B/00.png": "B"}
    drawn = draw_labels(facts, rest, before, k=3, seed=0)
    assert {facts.groups[path] for path in drawn} == {"A1", "A2"}
    assert any("class B: 1 labels for training instead of 3" in n for n in facts.notes)


def test_a_count_for_each_class(tmp_path):
    facts = facts_of(tmp_path, A=20, B=20, C=20)
    counts = {"A": 9, "B": 4, "C": 1}
    drawn = draw_labels(facts, facts.paths, {}, k=counts, seed=0)
    assert by_class(facts, drawn) == counts
    # a class draws from its own stream: what others get does not move it
    even = draw_labels(facts, facts.paths, {}, k=4, seed=0)
    of_b = {path for path in drawn if path.startswith("B")}
    assert of_b == {path for path in even if path.startswith("B")}


def test_more_labels_than_a_class_has(tmp_path):
    facts = facts_of(tmp_path, A=6, B=2)
    with pytest.raises(UsageError, match="B=3: outside of test and validation there"):
        draw_labels(facts, facts.paths, {}, k={"A": 1, "B": 3}, seed=0)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 1.0])
def test_a_share_of_each_class_whole_groups_at_least_one(tmp_path, share):
    sizes = {"A": 60, "B": 12, "C": 2}
    facts = facts_of(tmp_path, **sizes)
    drawn = draw_share(facts, facts.paths, share=share, seed=0)
    for name, size in sizes.items():
        mine = {facts.groups[path] for path in drawn if path.startswith(name)}
        assert len(mine) == max(1, int(share * size / 2 + 0.5))
    assert by_class(facts, drawn) == {
        name: 2 * max(1, int(share * size / 2 + 0.5)) for name, size in sizes.items()
    }
    assert any("C: its 2 labels come from 1 groups" in note for note in facts.notes)


def test_a_larger_share_holds_the_smaller_one(tmp_path):
    facts = facts_of(tmp_path, A=40, B=10)
    few, more = (
        draw_share(facts, facts.paths, share=share, seed=1) for share in (0.1, 0.4)
    )
    assert few < more
    assert few != draw_share(facts, facts.paths, share=0.1, seed=2)


def test_the_share_counts_the_groups_of_what_may_be_drawn(tmp_path):
    facts = facts_of(tmp_path, A=40)
    training = [path for path in facts.paths if path < "A/20.png"]
    drawn = draw_share(facts, training, share=0.5, seed=0)
    assert len(drawn) == 10
    assert drawn <= set(training)
    assert draw_share(facts, [], share=0.5, seed=0) == set()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (0, "0: give 1 or more"),
        ({"A": 1, "B": 0, "C": 1}, "B=0: give 1 or more"),
        ({"A": 1, "B": 1, "D": 1}, "the data lack: D; they have A, B, C"),
        ({"A": 1}, "no number for B, C"),
    ],
)
def test_counts_that_make_no_sense(counts, message):
    with pytest.raises(UsageError, match=message):
        refuse_bad_counts(counts, CLASSES)


def test_counts_that_do():
    for counts in (None, 1, {"C": 1, "A": 40, "B": 2}):
        refuse_bad_counts(counts, CLASSES)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_shares_that_make_no_sense(share):
    with pytest.raises(UsageError, match="give a share above 0"):
        refuse_bad_share(share, None)


def test_a_share_and_counts_exclude_each_other():
    refuse_bad_share(1.0, None)
    refuse_bad_share(None, 5)
    with pytest.raises(UsageError, match="give one of them"):
        refuse_bad_share(0.1, 5)
