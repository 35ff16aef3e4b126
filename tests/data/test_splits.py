from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uda.data.groups import joined_notes, resolve_groups
from uda.data.records import Catalog, Record, scan
from uda.data.splits import NO_GROUPS, Split, make_split
from uda.errors import DataError, UsageError

TRAINING = ("labeled", "unlabeled")


def write_manifest(root: Path, rows: list[tuple[str, str, str, str]]) -> Catalog:
    """Write (path, label, split, group) and one file of its own content each."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,split,group"]
    for path, label, part, group in rows:
        if not (root / path).exists():
            (root / path).write_text(path)
        lines.append(f"{path},{label},{part},{group}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return scan(root, min_classes=0)


def defects(root: Path, *, unlabeled: int = 40) -> Catalog:
    """The set of the first user's notes, in pairs that show the same part."""
    sizes = {"Good": 94, "defect1": 32, "Rust": 11, "Grind_Marks": 7}
    rows = [
        (f"{name}{i}.png", name, "", f"{name}-{i // 2}")
        for name, size in sizes.items()
        for i in range(size)
    ]
    rows += [(f"u{i}.png", "", "", f"Good-{i}") for i in range(unlabeled)]
    return write_manifest(root, rows)


def sides_by_group(split: Split) -> dict[str, set[str]]:
    sides = defaultdict(set)
    for row in split.rows:
        if row.group is not None:
            sides[row.group].add("training" if row.part in TRAINING else row.part)
    return sides


def test_groups_stay_whole_and_parts_are_stratified(tmp_path):
    catalog = defects(tmp_path)
    split, notes = make_split(catalog, catalog.groups(), seed=0)
    assert all(len(sides) == 1 for sides in sides_by_group(split).values())
    assert split.crossings(unlabeled=True) == []
    for part, share in (("test", 0.2), ("validation", 0.15)):
        counts = Counter(row.label for row in split.part(part))
        for name, total in catalog.class_counts.items():
            assert abs(counts[name] - share * total) <= 2.0  # one pair
            assert counts[name] >= 1
    held = 40 + 94 + 32 + 11 + 7 - len(split.rows)
    assert held > 0
    assert any(f"{held} images are held out" in note for note in notes)


def found_in_pixels(monkeypatch, groups: dict[str, str]) -> None:
    """Stand in for the look at the pixels."""
    monkeypatch.setattr(
        "uda.data.duplicates.find_groups", lambda _: SimpleNamespace(groups=groups)
    )


def test_looking_for_twins_adds_to_the_column(tmp_path, monkeypatch):
    column = {"a": "p2", "b": "p2", "c": "p1", "d": "p1", "e": "", "f": "g1", "g": ""}
    rows = [(f"{name}.png", "A", "", group) for name, group in column.items()]
    catalog = write_manifest(tmp_path, rows)
    # b and c look alike, which links p1 and p2; e is like nothing else.
    found = {
        "a": "g4",
        "b": "g2",
        "c": "g2",
        "d": "g3",
        "e": "g1",
        "f": "g5",
        "g": "g6",
    }
    found_in_pixels(monkeypatch, {f"{name}.png": g for name, g in found.items()})
    groups = resolve_groups(catalog, "auto")
    assert groups == {
        "a.png": "p1", "b.png": "p1", "c.png": "p1", "d.png": "p1",
        "e.png": "g1+", "f.png": "g1", "g.png": "g6",
    }  # fmt: skip
    (note,) = joined_notes(catalog, groups)
    assert "show the same: p1 = p2;" in note
    assert joined_notes(catalog, catalog.groups()) == []
    assert joined_notes(catalog, None) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=14))
def test_what_column_or_pixels_put_together_is_one_group(pairs):
    """Against joining by hand: again and again whatever shares a name."""
    paths = [f"{i}.png" for i in range(len(pairs))]
    column = {p: f"g{c}" for p, (c, _) in zip(paths, pairs, strict=True) if c}
    pixels = {p: f"g{f}" for p, (_, f) in zip(paths, pairs, strict=True)}
    records = tuple(Record(p, Path(), group=column.get(p)) for p in paths)
    with pytest.MonkeyPatch.context() as patch:
        found_in_pixels(patch, pixels)
        groups = resolve_groups(Catalog(Path(), records, (), "manifest"), "auto")
    together = {p: {p} for p in paths}
    for _ in paths:
        for one in paths:
            for two in paths:
                same = pixels[one] == pixels[two] or (
                    column.get(one, one) == column.get(two, two)
                )
                if same:
                    together[one] = together[two] = together[one] | together[two]
    assert groups is not None
    for one in paths:
        assert {p for p in paths if groups[p] == groups[one]} == together[one]
        names = {column[p] for p in together[one] if p in column}
        assert (
            groups[one] == min(names) if names else groups[one] not in column.values()
        )


def test_same_seed_same_split_whatever_the_order(tmp_path):
    catalog = defects(tmp_path)
    turned = Catalog(
        catalog.root, catalog.records[::-1], catalog.classes, catalog.layout
    )
    one, _ = make_split(catalog, catalog.groups(), seed=3, labels_per_class=2)
    two, _ = make_split(turned, catalog.groups(), seed=3, labels_per_class=2)
    other, _ = make_split(catalog, catalog.groups(), seed=4, labels_per_class=2)
    assert one == two
    assert one.part("test") != other.part("test")


def test_unlabelled_images_do_not_move_the_test(tmp_path):
    few = defects(tmp_path, unlabeled=0)
    many = defects(tmp_path, unlabeled=60)
    one, _ = make_split(few, few.groups(), labels_per_class=2)
    two, _ = make_split(many, many.groups(), labels_per_class=2)
    for part in ("labeled", "validation", "test"):
        assert one.part(part) == two.part(part)


def test_more_labels_leave_the_test_alone_and_include_the_fewer(tmp_path):
    catalog = defects(tmp_path)
    splits = {
        k: make_split(catalog, catalog.groups(), labels_per_class=k)[0]
        for k in (1, 3, 8, None)
    }
    for few, more in ((1, 3), (3, 8), (8, None)):
        assert splits[few].part("test") == splits[more].part("test")
        assert splits[few].part("validation") == splits[more].part("validation")
        fewer = {row.path for row in splits[few].part("labeled")}
        assert fewer < {row.path for row in splits[more].part("labeled")}


def test_k_labels_come_from_k_groups_and_the_rest_keeps_its_label(tmp_path):
    catalog = defects(tmp_path, unlabeled=0)
    split, notes = make_split(catalog, catalog.groups(), labels_per_class=3)
    for name in catalog.classes:
        rows = [row for row in split.part("labeled") if row.label == name]
        training = {
            row.group
            for row in split.rows
            if row.label == name and row.part in TRAINING
        }
        assert len(rows) == 3
        assert len({row.group for row in rows}) == min(3, len(training))
    assert all(row.label is not None for row in split.part("unlabeled"))
    assert any("Grind_Marks: its 3 labels come from 2 groups" in n for n in notes)


def test_too_few_labels_are_noted(tmp_path):
    catalog = defects(tmp_path)
    _, notes = make_split(catalog, catalog.groups(), labels_per_class=10)
    assert any(
        "class Grind_Marks: 4 labels for training instead of 10" in n
        or "class Grind_Marks: 3 labels for training instead of 10" in n
        for n in notes
    )


@pytest.mark.parametrize(
    ("groups", "lacking"),
    [
        (1, ["test", "validation"]),
        (2, ["validation"]),
        (3, []),
    ],
)
def test_training_first_then_test_then_validation(tmp_path, groups, lacking):
    rows = [(f"g{i}.png", "Good", "", "") for i in range(40)]
    rows += [(f"r{i}.png", "Rust", "", f"p{i % groups}") for i in range(6)]
    catalog = write_manifest(tmp_path, rows)
    split, notes = make_split(catalog, catalog.groups())
    for part in ("labeled", "test", "validation"):
        there = any(row.label == "Rust" for row in split.part(part))
        assert there is (part not in lacking)
        said = f"too small for the part '{part}'"
        assert any(said in n and "Rust (6 images in" in n for n in notes) is not there


@pytest.mark.parametrize("size", [1, 2, 3])
def test_classes_of_one_two_three_images(tmp_path, size):
    rows = [(f"g{i}.png", "Good", "", "") for i in range(99)]
    rows += [(f"r{i}.png", "Rust", "", "") for i in range(size)]
    split, _ = make_split(write_manifest(tmp_path, rows), None)
    parts = [row.part for row in split.rows if row.label == "Rust"]
    assert sorted(parts) == sorted(["labeled", "test", "validation"][:size])


def test_a_class_that_is_only_in_the_test(tmp_path):
    rows = [(f"g{i}.png", "Good", "", "") for i in range(9)]
    rows += [(f"b{i}.png", "Bad", "", "") for i in range(9)]
    rows += [("r.png", "Rust", "test", "")]
    split, notes = make_split(write_manifest(tmp_path, rows), None)
    assert [row.path for row in split.part("test")] == ["r.png"]
    assert any("'labeled', so they cannot be learned: Rust" in n for n in notes)
    assert any("recall cannot be measured: Bad" in n and "Good" in n for n in notes)


def test_without_groups_the_user_is_warned(tmp_path):
    catalog = defects(tmp_path)
    assert NO_GROUPS in make_split(catalog, None)[1]
    assert NO_GROUPS not in make_split(catalog, catalog.groups())[1]


def test_equal_files_stay_together_and_contradictions_are_told(tmp_path):
    rows = [(f"{c}{i}.png", c, "", "") for c in "AB" for i in range(30)]
    for i in range(0, 30, 2):
        for name in (f"A{i}.png", f"A{i + 1}.png"):
            (tmp_path / name).write_text(f"twin {i}")
    (tmp_path / "B0.png").write_text("twin 0")
    split, notes = make_split(write_manifest(tmp_path, rows), None)
    parts = {row.path: row.part for row in split.rows}
    assert all(parts[f"A{i}.png"] == parts[f"A{i + 1}.png"] for i in range(0, 30, 2))
    assert parts["B0.png"] == parts["A0.png"]
    assert any(n.startswith("16 files equal another one") for n in notes)
    assert any("A0.png A, A1.png A, B0.png B" in n for n in notes)
    split.save(tmp_path / "s.csv")
    assert Split.load(tmp_path / "s.csv") == split


def test_named_parts_stay(tmp_path):
    rows = [(f"t{i}.png", "AB"[i % 2], "test", f"t{i}") for i in range(6)]
    rows += [(f"v{i}.png", "AB"[i % 2], "val", f"v{i}") for i in range(4)]
    rows += [(f"x{i}.png", "AB"[i % 2], "train", f"x{i}") for i in range(20)]
    rows += [("n.png", "A", "unlabeled", ""), ("free.png", "B", "", "")]
    rows += [("leak.png", "A", "train", "t0"), ("twin.png", "", "", "v1")]
    catalog = write_manifest(tmp_path, rows)
    split, notes = make_split(catalog, catalog.groups())
    names = {
        part: {r.path for r in split.part(part)} for part in ("test", "validation")
    }
    assert names["test"] == {f"t{i}.png" for i in range(6)}
    assert names["validation"] == {f"v{i}.png" for i in range(4)}
    assert {r.path for r in split.part("labeled")} == {
        *(f"x{i}.png" for i in range(20)),
        "free.png",
    }
    assert [(r.path, r.label) for r in split.part("unlabeled")] == [("n.png", "A")]
    assert any("leak.png, twin.png" in note for note in notes)
    assert sum("the data names its own" in note for note in notes) == 2


def test_transductive_keeps_unlabelled_images_of_test_groups_only(tmp_path):
    rows = [(f"{c}{i}.png", c, "", f"{c}{i}") for c in "AB" for i in range(10)]
    rows += [(f"u{c}{i}.png", "", "", f"{c}{i}") for c in "AB" for i in range(10)]
    catalog = write_manifest(tmp_path, rows)
    strict, _ = make_split(catalog, catalog.groups())
    kept, _ = make_split(catalog, catalog.groups(), transductive=True)
    closed = {row.group for part in ("test", "validation") for row in strict.part(part)}
    assert {row.group for row in strict.part("unlabeled")}.isdisjoint(closed)
    assert len(kept.part("unlabeled")) == 20
    assert kept.part("test") == strict.part("test")
    kept.save(tmp_path / "s.csv")
    assert Split.load(tmp_path / "s.csv") == kept


def test_test_rows_without_label_are_held_out(tmp_path):
    rows = [(f"{c}{i}.png", c, "train", "") for c in "AB" for i in range(20)]
    rows += [(f"t{i}.png", "", "test", "") for i in range(5)]
    split, notes = make_split(write_manifest(tmp_path, rows), None)
    assert len(split.part("test")) == 8
    assert not any(row.path.startswith("t") for row in split.rows)
    assert any("5 images are named test but have no label" in n for n in notes)


def test_unreadable_files_are_left_out(tmp_path):
    catalog = defects(tmp_path)
    (tmp_path / "Good0.png").unlink()
    split, notes = make_split(catalog, catalog.groups())
    assert "Good0.png" not in split.by_path
    assert any(
        "1 files cannot be read and were left out: Good0.png" in n for n in notes
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1.0}, "--test 1"),
        ({"validation": -0.1}, "--validation -0.1"),
        ({"test": float("nan")}, "--test nan"),
        ({"test": 0.6, "validation": 0.4}, "leave nothing for training"),
        ({"labels_per_class": 0}, "--labels-per-class 0"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        make_split(defects(tmp_path), None, **options)


def test_zero_shares_give_no_parts(tmp_path):
    split, notes = make_split(defects(tmp_path), None, test=0.0, validation=0.0)
    assert split.part("test") == split.part("validation") == ()
    assert not any("too small" in note for note in notes)


def test_nothing_left_for_training(tmp_path):
    rows = [(f"{i}.png", "AB"[i % 2], "test", "") for i in range(4)]
    with pytest.raises(DataError, match="no labelled image is left for training"):
        make_split(write_manifest(tmp_path, rows), None)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C", ""]),
        st.sampled_from(["", "", "train", "test", "val", "unlabeled"]),
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=30,
)


@given(rows=ROWS, seed=st.integers(0, 5), k=st.sampled_from([None, 1, 3]))
@settings(max_examples=60, deadline=None)
def test_no_group_is_ever_in_two_parts(tmp_path_factory, rows, seed, k):
    named = [(f"{i}.png", *row[:2], f"g{row[2]}") for i, row in enumerate(rows)]
    catalog = write_manifest(tmp_path_factory.mktemp("d"), named)
    try:
        split, _ = make_split(catalog, catalog.groups(), labels_per_class=k, seed=seed)
    except DataError:
        return
    assert all(len(sides) == 1 for sides in sides_by_group(split).values())
    hints = {name: part for name, _, part, _ in named}
    for row in split.rows:
        if hints[row.path] == "test" and any(
            part == "test" and label for _, label, part, _ in named
        ):
            assert row.part == "test"
        if row.part != "unlabeled":
            assert row.label is not None


@pytest.mark.parametrize("name", ["neu", "magnetic_tile", "elpv"])
@pytest.mark.parametrize("seed", [0, 1])
def test_real_sets_split_without_leaks(real_data, tmp_path, name, seed):
    catalog = scan(real_data / name)
    split, _ = make_split(catalog, catalog.groups(), labels_per_class=5, seed=seed)
    split.save(tmp_path / "split.csv")
    split = Split.load(tmp_path / "split.csv")
    named_test = {r.path for r in catalog.records if r.part == "test"}
    assert {row.path for row in split.part("test")} == named_test
    test_groups = {catalog.by_path[path].group for path in named_test}
    assert not test_groups & {row.group for row in split.part("unlabeled")}
    assert all(len(sides) == 1 for sides in sides_by_group(split).values())
    assert len(split.rows) == len(catalog.records)
    for label in catalog.classes:
        rows = [row for row in split.part("labeled") if row.label == label]
        there = {r.group for r in split.rows if r.label == label and r.part in TRAINING}
        assert len(rows) == 5
        assert len({row.group for row in rows}) == min(5, len(there))
        share = sum(row.label == label for row in split.part("validation"))
        train = sum(r.label == label and r.part == "train" for r in catalog.records)
        assert 0.05 <= share / train <= 0.3


@pytest.mark.parametrize("name", ["neu", "magnetic_tile", "elpv"])
def test_a_test_part_of_our_own_on_real_sets(real_data, name):
    found = scan(real_data / name)
    free = tuple(type(r)(r.path, r.root, r.label, r.group) for r in found.records)
    catalog = Catalog(found.root, free, found.classes, found.layout)
    split, notes = make_split(catalog, catalog.groups(), test=0.3, seed=2)
    assert all(len(sides) == 1 for sides in sides_by_group(split).values())
    for label, total in catalog.class_counts.items():
        test = sum(row.label == label for row in split.part("test"))
        assert 0.2 <= test / total <= 0.4, (label, notes)
