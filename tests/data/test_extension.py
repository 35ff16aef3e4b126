from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uda.data.extension import NO_NEW_GROUPS
from uda.data.records import Catalog, scan
from uda.data.refresh import follow_files, follow_labels
from uda.data.splits import Split, SplitRow, extend_split, make_split
from uda.errors import DataError, UsageError

Rows = dict[str, tuple[str, str]]


def refresh(split: Split, catalog: Catalog) -> tuple[Split, list[str]]:
    """What ``--refresh`` does before the split is extended."""
    followed, moved = follow_files(split, catalog)
    newer, notes = follow_labels(followed, catalog)
    return newer, [*moved, *notes]


def write(root: Path, rows: Rows) -> Catalog:
    """Write {path: (label, group)} and a file of its own content for each."""
    lines = ["path,label,group"]
    for path, (label, group) in rows.items():
        if not (root / path).exists():
            (root / path).write_text(path)
        lines.append(f"{path},{label},{group}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return scan(root)


def start() -> Rows:
    rows = {f"{c}{i}.png": (c, f"{c}-{i // 2}") for c in "AB" for i in range(20)}
    return rows | {f"u{i}.png": ("", f"u-{i}") for i in range(8)}


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Rows, Split]:
    rows = start()
    catalog = write(tmp_path, rows)
    split, _ = make_split(catalog, catalog.groups(), labels_per_class=3)
    split.save(tmp_path / "old.csv")
    return rows, Split.load(tmp_path / "old.csv")


def lines_of(path: Path, part: str) -> list[str]:
    return [line for line in path.read_text().splitlines() if f",{part}," in line]


def test_nothing_new_changes_nothing(tmp_path, begun):
    rows, split = begun
    catalog = write(tmp_path, rows)
    for groups in (None, catalog.groups()):
        assert extend_split(split, catalog, groups) == (split, [])


def test_new_labels_and_images_enter_training_and_the_test_stays(tmp_path, begun):
    rows, split = begun
    rows["u3.png"] = ("B", "u-3")
    rows |= {"new1.png": ("A", "n1"), "new2.png": ("", "n2"), "C0.png": ("C", "n3")}
    catalog = write(tmp_path, rows)
    longer, notes = extend_split(split, catalog, catalog.groups())
    longer.save(tmp_path / "new.csv")
    for part in ("test", "validation"):
        old, new = (lines_of(tmp_path / f, part) for f in ("old.csv", "new.csv"))
        assert old == new
        assert old
    assert longer.by_path["u3.png"].part == "labeled"
    assert longer.by_path["new1.png"].part == "labeled"
    assert longer.by_path["new2.png"].part == "unlabeled"
    assert longer.by_path["C0.png"].label == "C"
    held_back = [row for row in split.part("unlabeled") if row.label]
    assert all(longer.by_path[row.path].part == "unlabeled" for row in held_back)
    assert any(n.startswith("3 new images were added") for n in notes)
    assert any(n.startswith("3 images are labelled training now") for n in notes)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("label", ["A", ""])
def test_new_images_of_closed_groups_never_enter_training(tmp_path, begun, part, label):
    rows, split = begun
    closed = split.part(part)[0]
    rows["late.png"] = (label, closed.group)
    catalog = write(tmp_path, rows)
    longer, notes = extend_split(split, catalog, catalog.groups())
    assert longer == split
    assert any("held out of training" in n and "late.png" in n for n in notes)
    kept, _ = extend_split(split, catalog, catalog.groups(), transductive=True)
    assert ("late.png" in kept.by_path) is (label == "")


def test_a_new_copy_of_a_test_image_is_held_out_without_groups(tmp_path, begun):
    rows, split = begun
    (tmp_path / "copy.png").write_text(split.part("test")[0].path)
    rows["copy.png"] = ("A", "")
    rows["other.png"] = ("A", "")
    longer, notes = extend_split(split, write(tmp_path, rows), None)
    assert "copy.png" not in longer.by_path
    assert "other.png" in longer.by_path
    assert NO_NEW_GROUPS in notes


def test_new_groups_take_twins_of_the_test_out_of_training(tmp_path, begun):
    rows, split = begun
    tested, trained = split.part("test")[0], split.part("labeled")[0]
    groups: dict[str, str] = {tested.path: "x", trained.path: "x"}
    longer, notes = extend_split(split, write(tmp_path, rows), groups)
    assert trained.path not in longer.by_path
    assert longer.part("test") == split.part("test")
    assert any(trained.path in n for n in notes)
    both = {tested.path: "x", split.part("validation")[0].path: "x"}
    longer, notes = extend_split(split, write(tmp_path, rows), both)
    assert len(longer.part("validation")) < len(split.part("validation"))
    assert any("validation images share a group with the test" in n for n in notes)


def test_labels_are_topped_up_from_what_was_held_back(tmp_path, begun):
    rows, split = begun
    catalog = write(tmp_path, rows)
    longer, _ = extend_split(split, catalog, catalog.groups(), labels_per_class=5)
    old, new = ({r.path for r in s.part("labeled")} for s in (split, longer))
    assert old < new
    assert [sum(r.label == c for r in longer.part("labeled")) for c in "AB"] == [5, 5]
    groups = [r.group for r in longer.part("labeled")]
    assert len(set(groups)) == len(groups)
    with pytest.raises(UsageError, match="give 1 or more"):
        extend_split(split, catalog, None, labels_per_class=0)


Change = Callable[[Path, Rows, SplitRow], None]


def remove(root: Path, rows: Rows, row: SplitRow) -> None:
    (root / row.path).unlink()
    del rows[row.path]


def alter(root: Path, rows: Rows, row: SplitRow) -> None:
    (root / row.path).write_text("something else")


def relabel(root: Path, rows: Rows, row: SplitRow) -> None:
    rows[row.path] = ("A" if row.label == "B" else "B", row.group or "")


@pytest.mark.parametrize("change", [remove, alter, relabel])
@pytest.mark.parametrize("part", ["test", "validation"])
def test_what_became_of_test_images_is_told_before_a_split_is_written(
    tmp_path, begun, change, part
):
    """A split whose test rows are not so any more could not be trained on."""
    rows, split = begun
    row = split.part(part)[0]
    change(tmp_path, rows, row)
    catalog = write(tmp_path, rows)
    with pytest.raises(DataError, match="add --refresh") as error:
        extend_split(split, catalog, catalog.groups())
    assert row.path in str(error.value)
    newer, notes = refresh(split, catalog)
    longer, _ = extend_split(newer, catalog, catalog.groups())
    assert longer.verify(catalog) == []
    if change is remove:
        assert {r.path for r in split.rows} - {r.path for r in longer.rows} == {
            row.path
        }
    else:
        assert {r.path for r in split.rows} == {r.path for r in longer.rows}
    assert longer.part("labeled") == split.part("labeled")
    assert any(row.path in note for note in notes)
    assert "do not compare" in notes[-1]


def test_a_vanished_group_of_that_name_says_nothing_of_new_images(tmp_path, begun):
    """Software numbers its groups anew: another g0007 is none of the older one's."""
    rows, split = begun
    name = split.part("test")[0].group
    for row in split.part("test"):
        if row.group == name:
            remove(tmp_path, rows, row)
    rows["late.png"] = ("A", str(name))
    catalog = write(tmp_path, rows)
    newer, _ = refresh(split, catalog)
    longer, notes = extend_split(newer, catalog, catalog.groups())
    late = longer.by_path["late.png"]
    assert (late.part, late.group) == ("labeled", name)
    assert not any("held out" in note for note in notes)


def test_labels_that_are_lost_to_the_test_are_named_apart(tmp_path, begun):
    rows, split = begun
    tested, trained = split.part("test")[0], split.part("labeled")[0]
    _, notes = extend_split(
        split, write(tmp_path, rows), {tested.path: "x", trained.path: "x"}
    )
    lost = [note for note in notes if "trained with their label" in note]
    assert len(lost) == 1
    assert trained.path in lost[0]


def test_training_rows_follow_their_files(tmp_path, begun):
    rows, split = begun
    gone, other, changed = split.part("labeled")[:3]
    remove(tmp_path, rows, gone)
    relabel(tmp_path, rows, other)
    alter(tmp_path, rows, changed)
    catalog = write(tmp_path, rows)
    longer, notes = extend_split(split, catalog, catalog.groups())
    assert gone.path not in longer.by_path
    assert longer.by_path[other.path].label != other.label
    assert longer.by_path[changed.path].sha256 != changed.sha256
    assert longer.verify(catalog) == []
    assert any(gone.path in n and "dropped" in n for n in notes)
    assert any(other.path in n and "another label" in n for n in notes)


def test_a_label_that_was_removed_is_kept(tmp_path, begun):
    rows, split = begun
    row = split.part("labeled")[0]
    rows[row.path] = ("", row.group or "")
    longer, _ = extend_split(split, write(tmp_path, rows), None)
    assert longer.by_path[row.path].label == row.label


def test_other_names_for_the_same_groups_do_not_collide(tmp_path, begun):
    rows, split = begun
    rows["late.png"] = ("A", "n")
    catalog = write(tmp_path, rows)
    old = sorted(set(catalog.groups().values()))
    turned = dict(zip(old, old[1:] + old[:1], strict=True))
    groups = {path: turned[name] for path, name in catalog.groups().items()}
    longer, _ = extend_split(split, catalog, groups)
    longer.save(tmp_path / "new.csv")
    assert Split.load(tmp_path / "new.csv") == longer
    assert longer.part("test") == split.part("test")
    assert "late.png" in longer.by_path


def test_new_images_named_test_stay_outside(tmp_path, begun):
    rows, split = begun
    write(tmp_path, rows)
    (tmp_path / "x.png").write_text("x")
    text = (tmp_path / "manifest.csv").read_text().splitlines()
    lines = [f"{text[0]},split", *(f"{line}," for line in text[1:]), "x.png,A,x,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    longer, notes = extend_split(split, scan(tmp_path), None)
    assert longer == split
    assert any("x.png" in n and "held out" in n for n in notes)


@pytest.mark.parametrize(
    ("label", "hint"), [("Srcatch", "; is it Scratch, misspelt?"), ("Rust", "")]
)
def test_a_label_that_the_older_split_has_not_is_named(tmp_path, label, hint):
    """Nobody would measure it, and a slip of the pen would be a class of its own."""
    rows = {
        f"{c}{i}.png": (c, f"{c}-{i}") for c in ("Good", "Scratch") for i in range(12)
    }
    catalog = write(tmp_path, rows)
    split, _ = make_split(catalog, catalog.groups())
    rows |= {f"n{i}.png": (label, f"n{i}") for i in range(3)}
    rows["n9.png"] = ("Good", "n9")
    catalog = write(tmp_path, rows)
    _, notes = extend_split(split, catalog, catalog.groups())
    said = [note for note in notes if "the older split does not have" in note]
    assert len(said) == 1
    assert said[0].startswith(f"{label} is a label")
    assert "3 images train with it" in said[0]
    assert said[0].endswith(f"nobody will measure it{hint}")
