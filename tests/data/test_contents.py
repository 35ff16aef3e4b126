"""Content hashes: right, remembered, and never of an older content."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import uda.data.contents as contents
from uda.data.contents import MEMO_NAME, Workers, content_hashes
from uda.data.records import Record
from uda.files import sha256_file

ALONE = Workers(1, None)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    root = tmp_path / "data"
    root.mkdir()
    for name in "abc":
        (root / name).write_text(name * 10)
    return [Record(path=name, root=root) for name in "abc"]


@pytest.fixture
def later(monkeypatch):
    """Let the files of the test be old enough to be remembered."""
    now = time.time()
    monkeypatch.setattr(contents.time, "time", lambda: now + 60)


def test_hashes_are_those_of_the_files(records, tmp_path):
    expected = [sha256_file(record.file) for record in records]
    assert content_hashes(records, tmp_path, ALONE) == expected
    assert content_hashes(records, tmp_path, Workers(3, None)) == expected


@pytest.mark.usefixtures("later")
def test_a_file_is_read_once(records, tmp_path, monkeypatch):
    first = content_hashes(records, tmp_path, ALONE)
    read = []

    def spy(path):
        read.append(Path(path).name)
        return sha256_file(path)

    monkeypatch.setattr(contents, "sha256_file", spy)
    assert content_hashes(records, tmp_path, ALONE) == first
    assert read == []
    os.utime(records[1].file)
    assert content_hashes(records, tmp_path, ALONE) == first
    assert read == ["b"]


@pytest.mark.usefixtures("later")
def test_an_edit_behind_the_back_of_the_clock_is_seen(records, tmp_path):
    """Same size, same modification time, same inode: the change time tells."""
    file = records[0].file
    before, status = content_hashes(records, tmp_path, ALONE), file.stat()
    file.write_text("A" * 10)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = content_hashes(records, tmp_path, ALONE)
    assert after[0] == sha256_file(file) != before[0]
    assert after[1:] == before[1:]


def test_fresh_files_are_not_remembered(records, tmp_path):
    content_hashes(records, tmp_path, ALONE)
    assert not (tmp_path / MEMO_NAME).exists()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("text", ["", "[1", "[]", "3", '{"x": 1}'])
def test_a_broken_memory_is_no_loss(records, tmp_path, text):
    (tmp_path / MEMO_NAME).write_text(text)
    expected = [sha256_file(record.file) for record in records]
    assert content_hashes(records, tmp_path, ALONE) == expected
    assert len(json.loads((tmp_path / MEMO_NAME).read_text())) >= 3


def test_missing_files_and_pipes_get_a_word(records, tmp_path):
    records[0].file.unlink()
    records[1].file.unlink()
    os.mkfifo(records[1].file)
    first, second, third = content_hashes(records, tmp_path, ALONE)
    assert first.startswith("unreadable")
    assert second == "not a file"
    assert len(third) == 64


def test_an_error_ends_the_threads():
    def fail(item: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Workers(2, None).map("x", fail, range(1000))
