"""The tree of classes as a value: members, paths, coarse labels, faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.errors import DataError, UsageError
from uda.tree import ROOT, Tree, faults, good_against_rest

DEEP = Tree(
    (
        (ROOT, ("Good", "Defect")),
        ("Defect", ("Rust", "Marks")),
        ("Marks", ("Scratch", "Dent", "Grind")),
    ),
    ("Dent", "Good", "Grind", "Rust", "Scratch"),
)


def test_members_groups_and_paths():
    assert DEEP.nodes == (ROOT, "Defect", "Marks")
    assert DEEP.coarse == ("Defect", "Marks")
    assert DEEP.members["Marks"] == (0, 2, 4)
    assert DEEP.members["Defect"] == (0, 2, 3, 4)
    assert DEEP.groups[0] == ((1,), (0, 2, 3, 4))
    assert DEEP.sizes == (2, 2, 3)
    # Columns: Good 0, Defect 1, Rust 2, Marks 3, Scratch 4, Dent 5, Grind 6.
    assert DEEP.paths == ((1, 3, 5), (0,), (1, 3, 6), (1, 2), (1, 3, 4))
    assert DEEP.below == ((0,), (1,), (2,), (3,), (4,), (0, 2, 3, 4), (0, 2, 4))


def test_from_json_lists_it_is_the_same_value():
    plain = [[name, list(below)] for name, below in DEEP.branches]
    assert Tree(plain, list(DEEP.classes)) == DEEP


@pytest.mark.parametrize(
    ("branches", "about", "words"),
    [
        ([(ROOT, ("a", "n")), ("n", ("b",))], "n", "one child"),
        ([(ROOT, ("a", "n")), ("n", ())], "n", "no child"),
        ([(ROOT, ("a", "b", "a"))], "a", "2 times"),
        ([(ROOT, ("a", "b", "x"))], "x", "no class"),
        ([(ROOT, ("a", "a2"))], "a2", "no class"),
        ([(ROOT, ("b", "a")), ("a", ("c", "d"))], "a", "a class and a node"),
    ],
)
def test_faults_name_what_they_are_about(branches, about, words):
    assert any(n == about and words in text for n, text in faults(branches, "ab"))
    with pytest.raises(DataError, match="class tree"):
        Tree(tuple(branches), ("a", "b"))


def test_a_class_that_is_missing_is_a_fault():
    assert faults([(ROOT, ("a", "b"))], "abc")[0][0] == "c"


def test_good_against_rest():
    tree = good_against_rest("Good", ("Defect", "Good", "Rust", "Scratch"))
    assert tree.classes == ("Good", "Rust", "Scratch")
    assert tree.branches == (
        (ROOT, ("Good", "Defect")),
        ("Defect", ("Rust", "Scratch")),
    )
    with pytest.raises(UsageError, match=r"did you mean 'Good'"):
        good_against_rest("God", ("Good", "Rust", "Scratch"))
    with pytest.raises(DataError, match="leave the tree out"):
        good_against_rest("Good", ("Good", "Rust"))


@st.composite
def trees(draw):
    """Random trees of up to 8 classes: groups of what is left are joined."""
    number = draw(st.integers(2, 8))
    classes = tuple(f"c{i}" for i in range(number))
    open_ends, branches = list(classes), []
    while len(open_ends) > 3 and draw(st.booleans()):
        cut = draw(st.integers(2, len(open_ends) - 1))
        name = f"n{len(branches)}"
        branches.append((name, tuple(open_ends[:cut])))
        open_ends = [*open_ends[cut:], name]
    return Tree(((ROOT, tuple(open_ends)), *reversed(branches)), classes)


@given(trees())
@settings(max_examples=50, deadline=None)
def test_every_class_hangs_on_one_path_and_children_divide_their_node(tree):
    for (name, _), groups in zip(tree.branches, tree.groups, strict=True):
        assert sorted(sum(groups, ())) == list(tree.members[name])
    owner = [node for node, size in enumerate(tree.sizes) for _ in range(size)]
    groups = [group for groups in tree.groups for group in groups]
    for number, path in enumerate(tree.paths):
        on_path = {c for c, group in enumerate(groups) if number in group}
        assert set(path) == on_path
        assert owner[path[0]] == 0
