from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.folds import fold_notes, fold_splits
from uda.data.partition import connect
from uda.data.splitfile import Split, SplitRow, ordered
from uda.errors import DataError, UsageError


def split_of(rows):
    """Rows are (path, part, label, group) or with a content hash behind."""
    full = [row if len(row) == 5 else (*row, "") for row in rows]
    return Split(ordered(SplitRow(*row) for row in full))


def usual(sizes=None, *, per_group=2):
    """Labelled and validation images in pairs, test and unlabelled ones."""
    rows = []
    for name, size in (sizes or {"Good": 60, "Rust": 24, "Scratch": 14}).items():
        for i in range(size):
            group = f"{name}{i // per_group}"
            part = "validation" if (i // per_group) % 5 == 0 else "labeled"
            rows.append((f"{name}{i}.png", part, name, group))
            rows.append((f"more{name}{i}.png", "unlabeled", None, group))
        rows += [(f"t{name}{i}.png", "test", name, f"t{name}{i}") for i in range(4)]
    rows += [(f"u{i}.png", "unlabeled", None, f"u{i // 3}") for i in range(30)]
    return split_of(rows)


def labelled(split):
    return {row.path for row in (*split.part("labeled"), *split.part("validation"))}


@st.composite
def splits(draw):
    """Some classes, some groups, any mixture, some equal files."""
    num_groups = draw(st.integers(6, 20))
    rows = []
    for i in range(draw(st.integers(20, 60))):
        group = draw(st.integers(0, num_groups - 1))
        part = draw(st.sampled_from(["labeled", "labeled", "validation", "unlabeled"]))
        label = draw(st.sampled_from("AB"))
        content = f"{draw(st.integers(0, 200)):03x}".ljust(64, "f")
        name = None if group % 5 == 0 else f"g{group}"
        rows.append((f"{i}.png", part, label, name, content))
    rows += [(f"x{i}.png", "labeled", "AB"[i % 2], f"x{i}") for i in range(8)]
    rows += [(f"t{i}.png", "test", "A", f"t{i}") for i in range(3)]
    return settled(split_of(rows))


def settled(split):
    """No group, equal file or chain of these is in labelled and in validation."""
    keys = [[r.path, r.group or r.path, r.sha256 or r.path] for r in split.rows]
    part, rows = {}, []
    for row, unit in zip(split.rows, connect(keys).tolist(), strict=True):
        inner = row.part in ("labeled", "validation")
        kept = part.setdefault(unit, row.part) if inner else row.part
        rows.append(replace(row, part=kept))
    return Split(ordered(rows))


@settings(max_examples=25, deadline=None)
@given(splits(), st.integers(2, 4), st.integers(0, 3), st.integers(0, 2))
def test_each_image_is_held_out_once_and_no_group_is_in_two_parts(
    split, k, seed, repeat
):
    options = {"num_folds": k, "seed": seed, "repeat": repeat}
    folds = fold_splits(split, **options)
    assert len(folds) == k
    was = split.by_path
    held = Counter(row.path for fold in folds for row in fold.part("test"))
    assert held == dict.fromkeys(labelled(split), 1)
    for fold in folds:
        # Neither groups nor equal files, and not through unlabelled images.
        assert fold.crossings() == []
        assert not [c for c in fold.crossings(unlabeled=True) if "test" in c]
        assert not any(row.path.startswith("t") for row in fold.rows)
        assert labelled(fold) | {r.path for r in fold.part("test")} == labelled(split)
        names = {row.label for row in fold.part("labeled")}
        assert names == {"A", "B"}
        moved = [r for r in fold.rows if r.part not in ("test", was[r.path].part)]
        assert {r.part for r in moved} <= {"labeled"}  # as a class had no other
    assert folds == fold_splits(split, **options)


def test_the_pool_is_without_the_held_out_groups_and_otherwise_whole():
    split = usual()
    for fold in fold_splits(split, num_folds=5):
        closed = {r.group for r in fold.part("test")}
        wanted = {r.path for r in split.part("unlabeled") if r.group not in closed}
        assert {row.path for row in fold.part("unlabeled")} == wanted


def test_an_unlabelled_image_that_links_two_groups_keeps_them_together():
    links = [
        ("a.png", "labeled", "A", "g1", ""),
        ("b.png", "labeled", "B", "g2", ""),
        ("u.png", "unlabeled", None, "g1", "1" * 64),
        ("v.png", "unlabeled", None, "g2", "1" * 64),
    ]
    more = [(f"{n}{i}.png", "labeled", n, f"{n}{i}") for n in "AB" for i in range(6)]
    for fold in fold_splits(split_of([*links, *more]), num_folds=3):
        parts = {fold.by_path[p].part == "test" for p in ("a.png", "b.png")}
        assert len(parts) == 1
        if parts == {True}:
            assert not fold.part("unlabeled")


def test_repeats_and_seeds_deal_anew():
    split = usual()

    def held(**options):
        folds = fold_splits(split, num_folds=4, **options)
        return {frozenset(r.path for r in fold.part("test")) for fold in folds}

    assert held() == held(repeat=0, seed=0)
    assert not held() & held(repeat=1)
    assert not held() & held(seed=1)
    assert held(repeat=1) != held(repeat=2)


def test_classes_are_as_even_as_scikit_learn_makes_them():
    from sklearn.model_selection import StratifiedGroupKFold

    split = usual({"Good": 60, "Rust": 24, "Scratch": 15}, per_group=3)
    rows = [r for r in split.rows if r.part in ("labeled", "validation")]
    labels = np.array([row.label for row in rows])
    groups = np.array([row.group for row in rows])
    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    places = [held for _, held in theirs.split(labels, labels, groups)]
    ours = [[r.label for r in f.part("test")] for f in fold_splits(split, num_folds=5)]
    for name in np.unique(labels):
        per_fold = [held.count(name) for held in ours]
        reference = [int((labels[held] == name).sum()) for held in places]
        assert np.std(per_fold) <= np.std(reference) + 1e-9, name
        assert min(per_fold) > 0


def test_a_fold_trains_as_the_run_does_less_what_it_holds_out():
    sizes = {
        ("Good", "labeled"): 5, ("Rust", "labeled"): 5, ("Dent", "labeled"): 5,
        ("Good", "validation"): 150, ("Rust", "validation"): 5,
        ("Dent", "validation"): 4,
    }  # fmt: skip
    split = split_of(
        (f"{name}-{part}{i}.png", part, name, f"{name}-{part}{i}")
        for (name, part), size in sizes.items()
        for i in range(size)
    )
    for seed in range(5):
        folds = fold_splits(split, num_folds=5, seed=seed)
        held = [Counter((r.label, split.by_path[r.path].part) for r in f.part("test"))
                for f in folds]  # fmt: skip
        for fold, gone in zip(folds, held, strict=True):
            rest = [row for row in fold.rows if row.part != "test"]
            assert all(row == split.by_path[row.path] for row in rest)
            for key, size in sizes.items():
                assert gone[key] in (size // 5, -(-size // 5)), key


def test_a_class_whose_labels_are_all_held_out_borrows_from_validation():
    rows = [(f"g{i}.png", "labeled", "Good", f"g{i}") for i in range(6)]
    rows += [("r0.png", "labeled", "Rust", "r0")]
    rows += [(f"v{i}.png", "validation", "Rust", f"v{i // 2}") for i in range(6)]
    split = split_of(rows)
    for fold in fold_splits(split, num_folds=2):
        learned = [r.path for r in fold.part("labeled") if r.label == "Rust"]
        lent = fold.by_path["r0.png"].part == "test"
        assert len(learned) == (2 if lent else 1)
        assert len({split.by_path[path].group for path in learned}) == 1
    (note,) = fold_notes(split, num_folds=2)
    assert "one group alone: Rust;" in note


def test_a_group_in_both_parts_is_held_out_whole_and_else_stays():
    rows = [(f"g{i}.png", "labeled", "AB"[i % 2], f"g{i}") for i in range(6)]
    rows += [
        (f"x{i}.png", p, "A", "x") for i, p in enumerate(("labeled", "validation"))
    ]
    parts = {
        tuple(fold.by_path[name].part for name in ("x0.png", "x1.png"))
        for fold in fold_splits(split_of(rows), num_folds=2)
    }
    assert parts == {("test", "test"), ("labeled", "validation")}


def test_a_class_of_few_groups_is_told_not_refused():
    split = usual({"Good": 40, "Rust": 4})
    folds = fold_splits(split, num_folds=5)
    holding = [f for f in folds if any(r.label == "Rust" for r in f.part("test"))]
    assert len(holding) == 2
    note, other = fold_notes(split, num_folds=5)
    assert "Rust (2)" in note
    assert "Good" not in note
    assert fold_notes(split, num_folds=2) == (other,)


def test_a_class_of_one_group_trains_in_every_fold():
    """Two images of a rare defect must not shut the way to folds and relabelling."""
    rows = [(f"r{i}.png", "labeled", "Rust", "one") for i in range(2)]
    rows += [(f"v{i}.png", "validation", "Rust", "one") for i in range(1)]
    rows += [(f"g{i}.png", "labeled", "Good", f"g{i}") for i in range(9)]
    rows += [(f"s{i}.png", "labeled", "Scratch", f"s{i}") for i in range(9)]
    split = split_of(rows)
    folds = fold_splits(split, num_folds=3)
    for fold in folds:
        assert {fold.by_path[n].part for n in ("r0.png", "r1.png")} == {"labeled"}
        assert fold.by_path["v0.png"].part == "validation"
    held = [row.path for fold in folds for row in fold.part("test")]
    assert sorted(held) == sorted(name for name, _, label, _ in rows if label != "Rust")
    (note,) = fold_notes(split, num_folds=3)
    assert note.startswith("never held out: Rust, as all its images are in one group")
    assert "; 3 images train in every fold" in note
    with pytest.raises(DataError, match="that can be held out are 18 groups"):
        fold_splits(split, num_folds=19)


def test_folds_that_would_ask_for_one_class_alone_are_refused():
    """Whoever always says Good would be right in all of them."""
    rows = [(f"r{i}.png", "labeled", "Rust", "one") for i in range(5)]
    rows += [(f"g{i}.png", "labeled", "Good", f"g{i}") for i in range(9)]
    with pytest.raises(DataError, match="all images of Rust are in one group"):
        fold_splits(split_of(rows), num_folds=3)


def test_a_class_that_shares_all_its_groups_is_named_too():
    rows = [("a0.png", "labeled", "A", "x"), ("s0.png", "labeled", "S", "x")]
    rows += [("b0.png", "labeled", "B", "y"), ("s1.png", "labeled", "S", "y")]
    rows += [(f"g{i}.png", "labeled", "GH"[i % 2], f"g{i}") for i in range(8)]
    split = split_of(rows)
    for folds in (2, 3):
        note = fold_notes(split, num_folds=folds)[0]
        assert note.startswith("never held out: A, B, S, as")
        assert "; 4 images train in every fold" in note
        held = [r for f in fold_splits(split, num_folds=folds) for r in f.part("test")]
        assert {row.label for row in held} == {"G", "H"}


def test_what_cannot_be_held_out_is_refused_by_name():
    good = [(f"g{i}.png", "labeled", "Good", f"g{i}") for i in range(9)]
    with pytest.raises(DataError, match="9 groups"):
        fold_splits(split_of(good), num_folds=10)
    with pytest.raises(UsageError, match="2 or more"):
        fold_splits(split_of(good), num_folds=1)


def test_several_labels_and_none_are_spread_over_the_folds():
    texts = ["Rust", "Rust|Scratch", "none", "Scratch", "none", "Dent|Rust"] * 10
    rows = [(f"{i}.png", "labeled", text, f"g{i // 2}") for i, text in enumerate(texts)]
    folds = fold_splits(split_of(rows), num_folds=5, multi_label=True)
    for name, total in {"Rust": 30, "Scratch": 20, "Dent": 10, "none": 20}.items():
        per_fold = [
            sum(name in r.label.split("|") for r in f.part("test")) for f in folds
        ]
        assert sum(per_fold) == total
        assert max(per_fold) - min(per_fold) <= 2, name
    # As one label each, the texts are classes of their own.
    assert fold_splits(split_of(rows), num_folds=5) != folds
