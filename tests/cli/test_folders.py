"""Folders of results: refused before the work, never shared."""

from __future__ import annotations

import pytest

from uda.cli.folders import check_folder, new_folder
from uda.errors import DataError, UsageError
from uda.files import OUTPUT_MARK


def test_a_folder_that_holds_something_is_refused_before_the_work(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="exists and is not empty"):
        check_folder(tmp_path / "full", "inspect")
    with pytest.raises(UsageError, match="exists and is not empty"):
        check_folder(tmp_path / "full" / "a", "inspect")
    check_folder(tmp_path / "empty", "inspect")
    check_folder(tmp_path / "new" / "er", "inspect")


def test_a_folder_of_somebody_else_does_not_stop_the_next_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "inspect").touch()
    check_folder(None, "inspect")
    assert new_folder(None, "inspect").name == "inspect2"


@pytest.mark.parametrize("given", [True, False])
def test_a_place_that_takes_nothing_is_told_before_the_work(
    tmp_path, monkeypatch, given
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uda.files.os.access", lambda *_: False)
    with pytest.raises(DataError, match="nobody may write to"):
        check_folder(tmp_path / "out" if given else None, "lr-find")


def test_folders_count_up_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [new_folder(None, "inspect").as_posix() for _ in range(2)]
    assert made == ["runs/inspect", "runs/inspect2"]
    out = new_folder(tmp_path / "deep" / "own", "inspect")
    assert (out / OUTPUT_MARK).is_file()


def test_a_link_to_a_disk_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("/unmounted")
    with pytest.raises(DataError, match=r"runs: cannot be written .*a link to one"):
        new_folder(None, "inspect")
