"""What a run has seen, by content and by group, against a slow look at every pair."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.fakes import make_run
from uda.data.splitfile import EMPTY_SHA256
from uda.evaluation.seen import joined, of_parts, seen_notes, seen_parts, units_of
from uda.files import sha256_file
from uda.run.layout import RunFolder


def linked(groups, hashes):
    """(N, N) who is reached from whom, step by step."""
    num = len(groups)
    near = np.eye(num, dtype=bool)
    for i in range(num):
        for j in range(num):
            same = hashes[i] == hashes[j] and hashes[i] not in ("", EMPTY_SHA256)
            near[i, j] |= groups[i] == groups[j] or same
    for _ in range(num):
        near = near @ near
    return near


@pytest.mark.parametrize("seed", range(5))
def test_images_of_a_group_and_copies_are_one_unit(seed):
    rng = np.random.default_rng(seed)
    groups = [f"g{n}" for n in rng.integers(0, 12, 20)]
    hashes = [("", EMPTY_SHA256, *"abcdefghij")[n] for n in rng.integers(0, 12, 20)]
    units = units_of(groups, hashes)
    whole = linked(groups, hashes)
    np.testing.assert_array_equal(units[:, None] == units[None], whole)
    names, notes = joined(groups, units)
    same = np.array([[a == b for b in names] for a in names])
    np.testing.assert_array_equal(same, whole)
    members = [{g for g, u in zip(groups, units, strict=True) if u == n}
               for n in set(units.tolist())]  # fmt: skip
    several = [len(one) for one in members if len(one) > 1]
    wanted = f"{sum(several)} groups hold copies of the same files and count as "
    assert notes == [f"{wanted}{len(several)}"] * bool(several)


def test_copies_inside_a_group_are_nothing_to_note():
    units = units_of(["a", "a", "b"], ["x", "x", "y"])
    assert joined(["a", "a", "b"], units) == (["a", "a", "b"], [])


def test_what_the_split_knows(tmp_path):
    made = make_run(tmp_path, per_part=2)
    run = RunFolder(made.folder)
    hashes = [
        sha256_file(made.data / "Rust" / f"{part}0.png")
        for part in ("labeled", "test", "validation")
    ]
    seen = seen_parts(run, [*hashes, "", "0" * 64])
    assert seen == ["labeled", "test", "validation", "", ""]
    assert seen_notes(seen, list("abcde")) == [
        "2 of its images were in training (1 labeled, 1 validation): a, c"
    ]
    assert seen_notes(["test", ""], list("ab")) == []
    groups = ["Rusttest0", "new", "copy of it", "Rustlabeled0"]
    units = units_of(groups, ["a", "b", "a", "c"])
    assert of_parts(run, ("test",), groups, units) == [True, False, True, False]
    assert of_parts(run, ("labeled",), groups, units) == [False] * 3 + [True]
