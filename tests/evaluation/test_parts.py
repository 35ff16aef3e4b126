"""Which images an evaluation reads, and what it refuses to read silently."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.evaluation.fakes import CLASSES, make_run, write_image
from uda.data.splits import Split
from uda.errors import CheckpointError, DataError, UsageError
from uda.evaluation.parts import (
    class_folder,
    split_part,
    unseen_folder,
)
from uda.run.layout import RunFolder


@pytest.fixture
def fake(tmp_path):
    return make_run(tmp_path)


def test_a_part_of_the_own_split(fake):
    run = RunFolder(fake.folder)
    found = split_part(run, CLASSES, "test")
    assert found.name == "test"
    assert found.reads_test
    assert len(found.files) == 24
    assert all(path.is_file() and "test" in name for name, path in found.files)
    assert found.targets.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert len(set(found.groups)) == 12
    assert not split_part(run, CLASSES, "validation").reads_test


def test_moved_data_are_found_where_the_user_says(fake, tmp_path):
    run = RunFolder(fake.folder)
    moved = tmp_path / "elsewhere"
    fake.data.rename(moved)
    with pytest.raises(DataError, match=r"data folder is not there.*--split"):
        split_part(run, CLASSES, "test")
    assert len(split_part(run, CLASSES, "test", data=moved).files) == 24


def test_missing_and_changed_images_are_named(fake):
    run = RunFolder(fake.folder)
    (fake.data / "Good" / "test0.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of its images are missing: Good/test0\.png"
    ):
        split_part(run, CLASSES, "test")
    write_image(fake.data / "Good" / "test0.png", "Rust", 5)
    with pytest.raises(DataError, match=r"not what they were.*Good/test0\.png"):
        split_part(run, CLASSES, "test")


def test_an_unknown_class_is_named(fake):
    with pytest.raises(DataError, match=r"does not know: Rust"):
        split_part(RunFolder(fake.folder), ("Dark", "Good"), "test")


def test_an_empty_part(fake, tmp_path):
    lines = (fake.folder / "split.csv").read_text().splitlines(keepends=True)
    other = tmp_path / "other.csv"
    other.write_text("".join(line for line in lines if ",test," not in line))
    with pytest.raises(DataError, match="no images in the part 'test'"):
        split_part(RunFolder(fake.folder), CLASSES, "test", split=other)


@pytest.mark.parametrize("hashes", [True, False])
def test_another_split_that_tests_on_training_images_says_so(fake, tmp_path, hashes):
    text = (fake.folder / "split.csv").read_text()
    if not hashes:  # a split that somebody wrote by hand
        text = re.sub(r",[0-9a-f]{64}$", ",", text, flags=re.MULTILINE)
    swapped = text.replace(",test,", ",x,").replace(",labeled,", ",test,")
    other = tmp_path / "other.csv"
    other.write_text(swapped.replace(",x,", ",labeled,"))
    found = split_part(RunFolder(fake.folder), CLASSES, "test", split=other)
    assert found.name == "test-other"
    assert len(found.notes) == 1
    assert found.notes[0].startswith("24 of its images were in training (24 labeled): ")
    assert found.notes[0].endswith(" and 21 more")
    assert not found.reads_test


def test_a_folder_of_new_images(fake, tmp_path):
    for number in range(3):
        write_image(tmp_path / "new" / "Rust" / f"{number}.png", "Rust", 9000 + number)
    found = class_folder(RunFolder(fake.folder), CLASSES, tmp_path / "new")
    assert found.name == "data-new"
    assert found.targets.tolist() == [2, 2, 2]
    assert not found.reads_test
    assert len(set(found.groups)) == 3
    # The run's images were grouped, and nothing says how these are.
    assert "count as several parts" in found.notes[0]
    run = RunFolder(fake.folder)
    told = class_folder(run, CLASSES, tmp_path / "new", group="none")
    assert told.notes == []
    assert class_folder(run, CLASSES, tmp_path / "new", group="auto").notes == []


def write_manifest(folder, column, groups):
    """Write an image of rust for each group, and a manifest that names the column."""
    lines = [f"path,label,{column}"]
    for number, group in enumerate(groups):
        write_image(folder / f"{number}.png", "Rust", 9000 + number)
        lines.append(f"{number}.png,Rust,{group}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("asked", [True, False])
def test_images_are_grouped_by_the_column_that_is_asked_for_or_the_runs(
    fake, tmp_path, asked
):
    """Photos of parts that training knew are not new, whatever the column's name."""
    folder = write_manifest(tmp_path / "new", "part", ["Rustlabeled1", "a", "a", "b"])
    run = RunFolder(fake.folder)
    with pytest.raises(UsageError, match=r"show one part.*--group COLUMN"):
        unseen_folder(run, CLASSES, folder)
    if not asked:
        run.config.write_text(run.config.read_text() + "  group: part\n")
    group = "part" if asked else None
    found = unseen_folder(run, CLASSES, folder, group)
    assert found.groups == ["a", "a", "b"]
    assert found.notes == [
        "1 images are of groups that were in training and are left out"
    ]
    read = class_folder(run, CLASSES, folder, group=group)
    assert read.groups == ["Rustlabeled1", "a", "a", "b"]
    assert read.notes == ["1 images are of groups that were in training"]


def test_a_column_that_is_not_there(fake, tmp_path):
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    write_image(folder / "Rust" / "0.png", "Rust", 9000)
    with pytest.raises(UsageError, match="needs a manifest"):
        unseen_folder(run, CLASSES, folder, "part")
    # The run's own column is no demand on other data; but they must say something.
    run.config.write_text(run.config.read_text() + "  group: part\n")
    with pytest.raises(UsageError, match="--group none where no two"):
        unseen_folder(run, CLASSES, folder)
    assert len(unseen_folder(run, CLASSES, folder, "none").files) == 1


def test_training_images_under_other_names_are_recognised(fake, tmp_path):
    new = tmp_path / "new"
    write_image(new / "Rust" / "a.png", "Rust", 9000)
    shutil.copy(fake.data / "Rust" / "labeled1.png", new / "Rust" / "renamed.png")
    shutil.copy(fake.data / "Rust" / "validation1.png", new / "Rust" / "b.png")
    shutil.copy(fake.data / "Rust" / "test1.png", new / "Rust" / "c.png")
    run = RunFolder(fake.folder)
    with pytest.raises(UsageError, match=r"2 of its images were in training.*--allow"):
        class_folder(run, CLASSES, new)
    found = class_folder(run, CLASSES, new, allow_seen=True)
    assert found.notes[0] == (
        "2 of its images were in training (1 labeled, 1 validation): "
        "Rust/b.png, Rust/renamed.png"
    )
    assert found.reads_test


def test_a_folder_that_cannot_be_evaluated(fake, tmp_path):
    run = RunFolder(fake.folder)
    write_image(tmp_path / "odd" / "Grind" / "a.png", "Rust", 1)
    with pytest.raises(DataError, match=r"does not know: Grind; it knows Dark, Good"):
        class_folder(run, CLASSES, tmp_path / "odd")


def test_a_run_without_its_split_says_what_is_unknown(fake, tmp_path):
    write_image(tmp_path / "new" / "Rust" / "a.png", "Rust", 1)
    (fake.folder / "split.csv").unlink()
    found = class_folder(RunFolder(fake.folder), CLASSES, tmp_path / "new")
    assert "unknown" in found.notes[0]


def test_images_of_groups_that_the_run_knows_are_left_out(fake, tmp_path):
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    groups = ["Rustlabeled1", "Rusttest1", "other", "Rusttest0", "Rusttest1"]
    write_manifest(folder, "group", groups)
    found = unseen_folder(run, CLASSES, folder)
    assert [name for name, _ in found.files] == ["2.png"]
    assert found.targets.tolist() == [2]
    assert found.notes == [
        "1 images are of groups that were in training and are left out",
        "3 images are of groups of the run's test part and are left out",
    ]
    # To be asked is no training: an evaluation may read the test part's groups.
    read = class_folder(run, CLASSES, folder)
    assert len(read.files) == 5
    assert read.notes == ["1 images are of groups that were in training"]
    write_manifest(folder, "group", ["Rustlabeled1", "Rusttest1"])
    with pytest.raises(DataError, match="all its images"):
        unseen_folder(run, CLASSES, folder)


def test_copies_of_a_photo_are_one_part(fake, tmp_path):
    """59 copies of one photo would have certified an escape limit of 5 %."""
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    for number in range(2):
        write_image(folder / "Rust" / f"{number}.png", "Rust", 9000 + number)
    for number in range(58):
        shutil.copy(folder / "Rust" / "0.png", folder / "Rust" / f"copy{number}.png")
    note = "59 groups hold copies of the same files and count as 1"
    for found in (
        unseen_folder(run, CLASSES, folder, "none"),
        class_folder(run, CLASSES, folder, group="none"),
    ):
        assert (len(found.files), len(set(found.groups))) == (60, 2)
        assert found.notes == [note]
    # They are no word about which photos show one part: that is still asked for.
    with pytest.raises(UsageError, match="nothing says which"):
        unseen_folder(run, CLASSES, folder)
    assert len(class_folder(run, CLASSES, folder).notes) == 2


def test_a_copy_of_what_is_left_out_is_left_out_too(fake, tmp_path):
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    write_manifest(folder, "group", ["mine", "Rusttest1", "mine", "other", "b"])
    shutil.copy(folder / "0.png", folder / "1.png")
    found = unseen_folder(run, CLASSES, folder)
    assert [name for name, _ in found.files] == ["3.png", "4.png"]
    assert found.groups == ["other", "b"]
    assert found.notes == [
        "2 groups hold copies of the same files and count as 1",
        "3 images are of groups of the run's test part and are left out",
    ]


def test_nothing_is_unseen_where_nobody_knows(fake, tmp_path):
    run = RunFolder(fake.folder)
    write_image(tmp_path / "new" / "Rust" / "0.png", "Rust", 9000)
    shutil.copy(fake.data / "Rust" / "test1.png", tmp_path / "new" / "Rust" / "1.png")
    with pytest.raises(UsageError, match="test part are among them"):
        unseen_folder(run, CLASSES, tmp_path / "new")
    run.split.unlink()
    with pytest.raises(CheckpointError, match="unknown"):
        unseen_folder(run, CLASSES, tmp_path / "new")


def test_groups_that_are_found_have_nothing_to_do_with_the_runs(fake, tmp_path):
    """`uda split --group auto` numbers its groups, and so does a look at new images."""
    text = (fake.folder / "split.csv").read_text()
    for number, name in enumerate(dict.fromkeys(re.findall(r",(\w+\d),", text))):
        text = text.replace(f",{name},", f",g{number + 1:04d},")
    (fake.folder / "split.csv").write_text(text)
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    for number in range(3):
        write_image(folder / "Rust" / f"{number}.png", "Rust", 9000 + number)
    shutil.copy(folder / "Rust" / "0.png", folder / "Rust" / "twin.png")
    found = unseen_folder(run, CLASSES, folder, "auto")
    assert (len(found.files), len(set(found.groups)), found.notes) == (4, 3, [])
    read = class_folder(run, CLASSES, folder, group="auto")
    assert read.groups == found.groups
    assert read.notes == []
    # Trained with it, the run asks for it by itself.
    run.config.write_text(run.config.read_text() + "  group: auto\n")
    assert unseen_folder(run, CLASSES, folder).groups == found.groups


def test_groups_of_a_column_are_known_beside_those_that_are_found(fake, tmp_path):
    """A column tells which parts the training saw, also where auto adds to it."""
    run, folder = RunFolder(fake.folder), tmp_path / "new"
    seen = next(r.group for r in Split.load(run.split).rows if r.part == "labeled")
    lines = ["path,label,group"]
    for number, group in enumerate((seen, "fresh")):
        write_image(folder / f"{number}.png", "Rust", 9000 + number)
        lines.append(f"{number}.png,Rust,{group}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = unseen_folder(run, CLASSES, folder, "auto")
    assert found.groups == ["fresh"]
    assert len(found.notes) == 1
