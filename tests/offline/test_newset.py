"""The folder of a new set: whose it is, and names that come back as they were."""

from __future__ import annotations

import errno

import pytest

from uda.augment.policy import Policy
from uda.data.manifest import read_manifest
from uda.errors import DataError, UsageError
from uda.files import folder_lock
from uda.offline.newset import (
    STATE,
    begin,
    refuse_foreign,
    refuse_nested,
    unfinished,
    write_manifest,
)

THIS = {
    "format": 1, "to_count": 5, "policy": {"name": "p", "fingerprint": "a" * 64},
    "seed": 0, "classes": [], "images": "b" * 64,
}  # fmt: skip


def test_new_empty_and_own_folders_are_fine(tmp_path):
    refuse_foreign(tmp_path / "new", THIS)
    refuse_foreign(tmp_path, THIS)
    (tmp_path / ".lock").write_text("")
    refuse_foreign(tmp_path, THIS)
    begin(tmp_path, THIS, Policy("p"))
    refuse_foreign(tmp_path, THIS)


def test_each_option_that_differs_is_named_with_both_values(tmp_path):
    begin(tmp_path, THIS, Policy("p"))
    other = {**THIS, "seed": 7, "policy": {"name": "q", "fingerprint": "c" * 64}}
    with pytest.raises(UsageError) as caught:
        refuse_foreign(tmp_path, other)
    message = str(caught.value)
    assert "--seed (0 there, 7 now)" in message
    assert "--policy (p aaaaaaaaaaaa there, q cccccccccccc now)" in message
    assert "--to-count" not in message


def test_a_state_file_that_is_none_is_another_configuration(tmp_path):
    (tmp_path / STATE).write_text("[]")
    with pytest.raises(UsageError, match="was made otherwise"):
        refuse_foreign(tmp_path, THIS)


def test_remains_of_a_killed_call_go_away(tmp_path):
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / ".x.png.77.tmp").write_bytes(b"half")
    begin(tmp_path, THIS, Policy("p"))
    assert list((tmp_path / "A").iterdir()) == []


def test_names_come_back_to_the_letter(tmp_path):
    names = ["=1.png", "-a,b.png", "@x.png", 'q"uote.png', "new\nline.png", "öl.png"]
    for name in names:
        (tmp_path / name).write_text("")
    entries = [(name, "=Label", "train", None) for name in names]
    write_manifest(tmp_path / "manifest.csv", [*entries])
    found = read_manifest(tmp_path / "manifest.csv").entries
    assert sorted(entry.path for entry in found) == sorted(names)
    assert {entry.label for entry in found} == {"=Label"}
    assert {entry.group for entry in found} == {None}
    first = (tmp_path / "manifest.csv").read_text().splitlines()[1]
    assert first.startswith(("./", '"./'))


def test_no_folder_that_is_read_is_written_to(tmp_path):
    for name in ("data", "pile/deep", "listed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "listed" / "a.png").write_text("")
    table = tmp_path / "lists" / "kept.csv"
    table.parent.mkdir()
    table.write_text("path,folder,kept\na.png,../listed,1\n")
    extra = [tmp_path / "pile", table]
    for out, name in (
        ("data", "the data folder"),
        ("data/new", "the data folder"),
        ("pile/new", f"--unlabeled {tmp_path / 'pile'}"),
        ("pile/deep/new", f"--unlabeled {tmp_path / 'pile'}"),
        ("listed/new", f"--unlabeled {table}"),
    ):
        with pytest.raises(UsageError) as caught:
            refuse_nested(tmp_path / out, tmp_path / "data", extra)
        assert f"lies in {name}, whose images it would join" in str(caught.value)
    (tmp_path / "way").symlink_to(tmp_path / "pile")
    with pytest.raises(UsageError, match="--unlabeled"):
        refuse_nested(tmp_path / "way" / "new", tmp_path / "data", extra)
    refuse_nested(tmp_path / "lists" / "new", tmp_path / "data", extra)
    refuse_nested(tmp_path / "pile2", tmp_path / "data", extra)


@pytest.mark.parametrize("made", [True, False])
def test_a_disk_that_is_full_is_told_with_what_is_left(tmp_path, made):
    out = tmp_path / "o"
    if made:
        out.mkdir()
        (out / "a.png").write_text("")
    with pytest.raises(DataError) as caught, unfinished(out, ["a.png", "b.png"]):
        raise OSError(errno.ENOSPC, "No space left on device")
    said = str(caught.value)
    assert said.startswith(f"{out}: No space left on device; see to its permissions")
    assert "choose another folder with --out" in said
    assert ("(1 of 2 images are written)" in said) is made


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "new"
    refuse_foreign(out, THIS)
    with (
        pytest.raises(DataError, match=r"file/new: Not a directory; see to"),
        unfinished(out, []),
        folder_lock(out),
    ):
        pass


def test_a_folder_that_nobody_may_look_into_is_told(tmp_path, monkeypatch):
    def closed(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "iterdir", closed)
    with pytest.raises(DataError, match=r"Permission denied; see to"):
        refuse_foreign(tmp_path, THIS)
