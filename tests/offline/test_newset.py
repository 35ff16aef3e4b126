"""The folder of a new set: whose it is, and names that come back as they were."""

from __future__ import annotations

import pytest

from uda.augment.policy import Policy
from uda.data.manifest import read_manifest
from uda.errors import UsageError
from uda.offline.newset import STATE, begin, refuse_foreign, write_manifest

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
