"""Atomic files, locks, safe cells and paths that stay inside their root."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from uda import files
from uda.errors import DataError, UsageError


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    files.atomic_write(target, "old")
    with pytest.raises(RuntimeError, match="power"), files.atomic_path(target) as part:
        part.write_text("half")
        raise RuntimeError("power cut")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_whoever_may_read_other_files_may_read_what_a_private_writer_wrote(tmp_path):
    target, private = tmp_path / "a.bin", tmp_path / "private"
    with files.atomic_path(target) as part:
        private.touch(0o600)
        private.write_bytes(b"weights")
        private.rename(part)
    other = tmp_path / "b.bin"
    other.touch()
    assert target.stat().st_mode == other.stat().st_mode
    assert target.read_bytes() == b"weights"


def test_sha256_equals_hashlib(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert files.sha256_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_csv_cells_are_safe_for_a_spreadsheet(tmp_path):
    path = tmp_path / "t.csv"
    hostile = ["=cmd|x", "+1", "-1", "@a", "\ttab", "fine", "new\nline", "\udcff.png"]
    files.write_csv(path, ["name", "value"], [(name, -1.5) for name in hostile])
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    assert [row[0] for row in rows] == [
        "'=cmd|x", "'+1", "'-1", "'@a", "'\ttab", "fine", "new\nline", "\\udcff.png",
    ]  # fmt: skip
    assert rows[0][1] == "-1.5"  # numbers stay numbers


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\0b"])
def test_paths_cannot_leave_the_root(tmp_path, path):
    with pytest.raises(DataError, match="stay inside"):
        files.inside(tmp_path, path)


def test_a_link_cannot_leave_the_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(DataError, match="link"):
        files.inside(root, "link")
    with pytest.raises(DataError):
        files.inside(root, "loop/x")
    assert files.inside(root, "plain/x.png") == root / "plain/x.png"


def test_second_holder_of_a_folder_is_refused(tmp_path):
    with (
        files.folder_lock(tmp_path),
        pytest.raises(UsageError, match="another process"),
        files.folder_lock(tmp_path),
    ):
        pass
    with files.folder_lock(tmp_path):
        assert files.is_locked(tmp_path)
    assert not files.is_locked(tmp_path)
    assert not files.is_locked(tmp_path / "no")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch, code):
    def refuse(stream, how):
        raise OSError(code, os.strerror(code))

    with files.folder_lock(tmp_path):  # so that the lock's file is there
        pass
    monkeypatch.setattr(files.fcntl, "flock", refuse)
    assert not files.is_locked(tmp_path)
    with files.folder_lock(tmp_path):
        assert not files.is_locked(tmp_path)


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EACCES])
def test_a_lock_of_somebody_else_is_told_from_no_locks(tmp_path, monkeypatch, code):
    def taken(stream, how):
        raise OSError(code, os.strerror(code))

    with files.folder_lock(tmp_path):
        pass
    monkeypatch.setattr(files.fcntl, "flock", taken)
    assert files.is_locked(tmp_path)
    with (
        pytest.raises(UsageError, match="another process"),
        files.folder_lock(tmp_path),
    ):
        pass


def test_a_place_that_takes_no_file_is_told_before(tmp_path, monkeypatch):
    files.check_writable(tmp_path / "new" / "deep" / "split.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"split\.csv: cannot be written .*file is no"):
        files.check_writable(tmp_path / "file" / "split.csv")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(DataError, match=r"nobody may write to .*choose another --out"):
        files.check_writable(tmp_path / "new" / "split.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"write to {tmp_path},"):
        files.check_writable(Path("split.csv"))


def test_writers_with_one_process_number_do_not_meet(tmp_path):
    """Two containers that share a cache are often process 1 both."""
    path = tmp_path / "hashes.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: files.write_json(path, {"k": k}), range(200)))
    assert files.read_json(path)["k"] in range(200)
    assert list(tmp_path.iterdir()) == [path]


def test_broken_json_names_the_file(tmp_path):
    path = tmp_path / "status.json"
    files.write_json(path, {"a": [1, 2]})
    assert files.read_json(path) == {"a": [1, 2]}
    path.write_text("{")
    with pytest.raises(DataError, match=r"status\.json"):
        files.read_json(path)


def test_numbered_folders_count_up_and_never_share(tmp_path):
    names = [files.numbered_folder(tmp_path / "runs", "train").name for _ in range(3)]
    assert names == ["train", "train2", "train3"]
    names = [files.numbered_folder(tmp_path / "runs", "line6").name for _ in range(2)]
    assert names == ["line6", "line6-2"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        files.numbered_folder(tmp_path / "file", "train")


def test_a_library_that_hides_a_full_disk_is_seen_through(tmp_path, monkeypatch):
    def asked(free):
        monkeypatch.setattr(
            "uda.files.shutil.disk_usage", lambda _: SimpleNamespace(free=free)
        )
        path = tmp_path / "w.pt"
        with files.atomic_path(path) as temporary, files.full_disk_told(path):
            temporary.write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file")

    with pytest.raises(OSError, match="No space left") as caught:
        asked(free=1000)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "w.pt")
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        asked(free=10**9)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_waited_for_loses_nothing(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for code in (errno.EINVAL, errno.EACCES):
        files.atomic_write(tmp_path / "a.txt", f"{code}")
        assert (tmp_path / "a.txt").read_text() == f"{code}"
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        files.atomic_write(tmp_path / "a.txt", "new")


def test_a_name_as_long_as_the_disk_takes_can_be_written(tmp_path):
    for name in ("a" * 250 + ".csv", "ü" * 125 + ".csv"):
        files.atomic_write(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.csv"
    for target in (tmp_path / "there" / "old.csv", tmp_path / "new" / "gone.csv"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        files.atomic_write(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"


def test_a_device_and_a_pipe_take_the_data_themselves(tmp_path, monkeypatch):
    link, pipe = tmp_path / "nowhere", tmp_path / "pipe"
    link.symlink_to(os.devnull)
    files.atomic_write(link, "gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    files.check_writable(link)
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        files.atomic_write(pipe, "through")
        assert read.result(timeout=20) == "through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("kind", ["dangling link", "file"])
def test_numbered_folders_need_a_parent_that_can_be_one(tmp_path, kind):
    parent = tmp_path / "runs"
    if kind == "file":
        parent.write_text("x")
    else:
        parent.symlink_to(tmp_path / "unmounted")
    with pytest.raises(NotADirectoryError, match="it is no folder, or a link"):
        files.numbered_folder(parent, "train")


def test_a_folder_of_somebody_else_is_named(tmp_path, monkeypatch):
    def refused(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    words = f"{tmp_path}: cannot be written .Permission denied.; take a folder"
    with pytest.raises(DataError, match=words), files.folder_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(errno.ENOSPC, "No space left"), "No space left"),
     (OSError("broken encoder"), "broken encoder")],
)  # fmt: skip
def test_what_could_not_be_written_is_named_with_its_reason(error, reason):
    words = rf"a\.png: cannot be written \({reason}\); choose another --out"
    with pytest.raises(DataError, match=words) as told, files.writing(Path("a.png")):
        raise error
    assert told.value.__cause__ is error


def test_json_of_windows_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert files.read_json(tmp_path / "a.json") == [1]
