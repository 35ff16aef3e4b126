"""Files that are whole or absent: atomic writes, hashes, locks, safe CSV cells.

A power cut or a kill at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from uda.errors import DataError, UsageError

OUTPUT_MARK = ".uda-output"
_ROOM = 16 * 2**20  # bytes; with less free, a failed write is taken for a full disk
# Of file systems that cannot wait for a folder, and of folders that take files and may
# not be read.
_NO_WAITING = frozenset(
    (errno.EINVAL, errno.EACCES, errno.EPERM, errno.EBADF, errno.ENOSYS, errno.ENOTSUP)
)
_SHOWN_OF_NAME = 40  # letters: some file systems take 255 bytes, and four make a letter
_RISKY_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that becomes ``path`` when the block succeeds.

    Order: write, flush and fsync the file, rename, fsync the folder. When the
    block raises, the temporary file goes away and ``path`` is untouched. A link is
    followed; a device or a pipe takes the data itself.
    """
    path = Path(path)
    if _is_stream(path):
        yield path
        return
    path = _target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two containers that share a folder may have the same process number.
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name[:_SHOWN_OF_NAME]}.{unique}.tmp")
    mode = _usual_mode(temporary)
    try:
        yield temporary
        # Some writers make a file that only its owner may read.
        temporary.chmod(mode)
        _fsync(temporary)
        temporary.replace(path)
        _fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _usual_mode(path: Path) -> int:
    """Return the mode that a new file gets; a umask tells only who changes it."""
    path.touch()
    mode = path.stat().st_mode
    path.unlink()
    return mode


def _target(path: Path) -> Path:
    """Return what a link leads to; a link in a circle stays as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _fsync_folder(folder: Path) -> None:
    """Wait for the folder's entry; the file is whole and in its place already."""
    try:
        _fsync(folder)
    except OSError as error:
        if error.errno not in _NO_WAITING:
            raise


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write bytes or UTF-8 text so that a reader sees all of it or nothing."""
    raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    with atomic_path(path) as temporary:
        temporary.write_bytes(raw)


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def hash_path(path: Path) -> Path:
    """Return where the SHA-256 of a file of weights lies: beside it."""
    return path.with_name(path.name + ".sha256")


def write_hash(path: Path) -> None:
    """Write a file's SHA-256 beside it."""
    atomic_write(hash_path(path), sha256_file(path) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a broken file is a DataError that names it."""
    try:
        # What Windows wrote may begin with a byte order mark.
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error


def spreadsheet_safe(cell: object) -> object:
    """Defuse text that a spreadsheet would run as a formula (CWE-1236)."""
    if not isinstance(cell, str):
        return cell
    return guarded(cell.encode("utf-8", "backslashreplace").decode("utf-8"))


def guarded(text: str) -> str:
    """Put a quote before text that a spreadsheet would run; leave all else as it is."""
    return "'" + text if text.startswith(_RISKY_STARTS) else text


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write rows as UTF-8 CSV, atomically, with cells safe for a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([spreadsheet_safe(cell) for cell in header])
    writer.writerows([spreadsheet_safe(cell) for cell in row] for row in rows)
    atomic_write(path, buffer.getvalue())


def inside(root: Path, relative: str) -> Path:
    """Return ``root/relative``, refusing anything that leaves the root.

    Raises:
        DataError: for an absolute path, ``..``, or a link that leads outside.
    """
    candidate = Path(relative)
    root = Path(root).resolve()
    if candidate.is_absolute() or ".." in candidate.parts or "\0" in relative:
        raise DataError(
            f"{relative!r}: paths must be relative and stay inside {root}; "
            "move the file there or give its folder as the data root"
        )
    target = root / candidate
    try:
        resolved = target.resolve()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{relative!r}: a link that cannot be followed ({error}); copy the file "
            "into the data root"
        ) from error
    if not resolved.is_relative_to(root):
        raise DataError(
            f"{relative!r}: leads outside {root} through a link; copy the file "
            "into the data root"
        )
    return target


def check_writable(path: Path) -> None:
    """Refuse a place where no file can be written, before the work that it is for.

    Raises:
        DataError: its folder, or the first one above that is there, takes no file.
    """
    if _is_stream(Path(path)):
        return
    # os.path: a folder that may not be looked into is there, not an exception
    above = _target(Path(path)).absolute().parents
    folder = next(folder for folder in above if os.path.lexists(folder))
    if not os.path.isdir(folder):  # noqa: PTH112
        raise DataError(
            f"{path}: cannot be written ({folder} is no folder); choose another --out"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(
            f"{path}: cannot be written (nobody may write to {folder}, or not you); "
            "choose another --out"
        )


@contextmanager
def writing(path: Path, way_out: str = "choose another --out") -> Iterator[None]:
    """Name the file that could not be written, and what to do.

    Around the writing alone: a file that cannot be read is another matter.

    Raises:
        DataError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        # A library's own error has a text and no number.
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); {way_out}"
        ) from error


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Raise an OSError where a library's own error hides that a disk is full.

    Libraries that write by themselves say in a way of their own that they could not.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if shutil.disk_usage(Path(path).parent).free >= _ROOM:
            raise
        words = os.strerror(errno.ENOSPC)
        raise OSError(errno.ENOSPC, words, str(path)) from error


def lock_file(stream: IO[str], how: int) -> bool:
    """Lock an open file as `fcntl.flock` does; False where there are no locks.

    Some network file systems and containers have none. Who works there alone loses
    nothing.

    Raises:
        BlockingIOError, PermissionError: somebody else holds it.
    """
    try:
        fcntl.flock(stream, how)
    except (BlockingIOError, PermissionError):
        raise
    except OSError:
        return False
    return True


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a second holder gets a UsageError.

    Where the file system has no locks nobody is kept out.

    Raises:
        UsageError: another process holds it.
        DataError: nobody may write there, or not you.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder, "take a folder where you may write"):
        lock = (folder / ".lock").open("w")
    with lock as stream:
        try:
            lock_file(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder}: another process is using this folder; wait for it to "
                "end, or choose another with --name"
            ) from error
        yield


def is_locked(folder: Path) -> bool:
    """Tell whether a process holds the folder by ``folder_lock`` now.

    Where the file system has no locks, or the lock may not be read, nobody can tell.
    """
    try:
        stream = (Path(folder) / ".lock").open()
    except (FileNotFoundError, PermissionError):
        return False
    with stream:
        try:
            lock_file(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def numbered_folder(parent: Path, name: str) -> Path:
    """Make ``parent/name``, or ``name2``, ``name3`` where that is taken.

    A name that ends in a digit gets a dash before it: ``train6-2``.

    Raises:
        OSError: the folder cannot be made for another reason.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        words = "it is no folder, or a link to one that is not there"
        raise NotADirectoryError(errno.ENOTDIR, words, str(parent)) from error
    number, dash = 1, "-" * name[-1:].isdigit()
    while True:
        folder = parent / (name if number == 1 else f"{name}{dash}{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return output_folder(folder)


def output_folder(folder: Path) -> Path:
    """Make a folder of results, marked, so that its pictures are not taken for data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTPUT_MARK).touch()
    return folder
