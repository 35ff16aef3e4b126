"""The folder of a new data set: whose it is, its originals, its tables.

A folder that another call made, or that holds something else, is never touched.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uda.augment.policy import Policy, PythonPolicy
from uda.data.chosen import chosen_folders
from uda.data.manifest import MANIFEST_NAME
from uda.data.splitfile import ordered
from uda.data.splits import Split, SplitRow
from uda.data.table import listing, shown
from uda.errors import DataError, UsageError
from uda.files import atomic_path, atomic_write, read_json, write_csv, write_json
from uda.offline.copies import Copy
from uda.offline.originals import PROVENANCE, Originals, Progress

STATE = "augment.json"
SPLIT = "split.csv"
_POLICY = "policy"
_PROVENANCE_HEADER = (
    "copy", "label", "source", "source_sha256", "policy", "policy_fingerprint",
    "seed", "stream", "counter", "changed", "sha256",
)  # fmt: skip
# How a message calls what a configuration holds.
_OPTIONS = {
    "format": "the version of this program",
    "to_count": "--to-count",
    "policy": "--policy",
    "seed": "--seed",
    "classes": "--classes",
    "images": "the images, their labels, groups or parts (DATA, --split, --group)",
}


def refuse_nested(out: Path, data: Path, unlabeled: Sequence[Path] = ()) -> None:
    """Refuse to write into a folder that is read, now and the next time.

    Args:
        out: the new set's folder.
        data: the data folder or manifest.
        unlabeled: folders of unlabelled images, or lists that name some.

    Raises:
        UsageError: the new set would lie among its own sources.
        DataError: a list of unlabelled images that is wrong.
    """
    here = out.resolve()
    home = data.resolve()
    roots = {home if home.is_dir() else home.parent: "the data folder"}
    for extra in chosen_folders(unlabeled):
        roots.setdefault(extra.folder, f"--unlabeled {shown(extra.source)}")
    for root, name in roots.items():
        if here.is_relative_to(root):
            raise UsageError(
                f"--out {shown(out)}: lies in {name}, whose images it would join; "
                "choose a folder outside of it"
            )


def names_in(out: Path) -> set[str]:
    """Return what a folder of ``--out`` holds; nothing where there is none yet.

    Raises:
        UsageError: it is a file.
        DataError: nobody may look into it.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {shown(out)}: is a file; choose a folder")
        found = {entry.name for entry in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise DataError(_unusable(out, error)) from error
    return found - {".lock"}


def _unusable(out: Path, error: OSError) -> str:
    return (
        f"{shown(error.filename or out)}: {error.strerror or error}; see to its "
        "permissions and to the free space, or choose another folder with --out"
    )


def refuse_foreign(out: Path, state: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but a call with the same state.

    Args:
        out: the folder; new or empty is fine.
        state: what decides the files, by the keys of ``_OPTIONS``.

    Raises:
        UsageError: names each option that differs, with both values.
        DataError: a folder that cannot be read.
    """
    content = names_in(out)
    if not content:
        return
    if STATE not in content:
        raise UsageError(
            f"--out {shown(out)}: is not empty and was not made by this command "
            f"({STATE} is missing); nothing is overwritten: choose another folder"
        )
    before = read_json(out / STATE)
    known = before if isinstance(before, dict) else {}
    differing = [
        f"{words} ({_words(known.get(key))} there, {_words(state[key])} now)"
        for key, words in _OPTIONS.items()
        if known.get(key) != state[key]
    ]
    if differing:
        raise UsageError(
            f"--out {shown(out)}: was made otherwise: {'; '.join(differing)}; nothing "
            "is overwritten: repeat it with the same options, or choose another folder"
        )


def _words(value: object) -> str:
    if isinstance(value, dict):
        return f"{value.get('name')} {str(value.get('fingerprint'))[:12]}"
    if isinstance(value, list):
        return listing([str(item) for item in value]) or "all"
    return str(value)[:12]


@contextmanager
def unfinished(out: Path, paths: Sequence[str]) -> Iterator[None]:
    """Let whoever is stopped know what is left in the folder, and how to go on.

    Args:
        out: the folder.
        paths: all images that it shall hold.

    Raises:
        KeyboardInterrupt: as it came, with the words as its text.
        DataError: as it came, with the words behind its own; also for files that
            cannot be read or written.
    """

    def left() -> str:
        done = sum((out / path).is_file() for path in paths)
        return (
            f"{shown(out)} is unfinished ({done} of {len(paths)} images are written): "
            "repeat the command to finish; before you call it with another policy or "
            "other options, delete the folder"
        )

    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(left()) from stop
    except DataError as error:
        raise DataError(f"{error}\n{left()}") from error
    except OSError as error:
        # A folder that could not be made holds nothing to go on with.
        words = f"\n{left()}" if out.is_dir() else ""
        raise DataError(_unusable(out, error) + words) from error


def begin(out: Path, state: dict[str, Any], policy: Policy | PythonPolicy) -> None:
    """Say first whose folder this is; clear what a killed call was writing."""
    write_json(out / STATE, state)
    for remains in out.rglob(".*.tmp"):
        remains.unlink(missing_ok=True)
    if policy.path is not None and policy.path.is_file():
        atomic_write(out / _POLICY / policy.path.name, policy.path.read_bytes())


def copy_originals(out: Path, originals: Originals, progress: Progress | None) -> None:
    """Copy, and do not link: editing a file of one set must not change the other."""
    for done, image in enumerate(originals.images, 1):
        target = out / image.path
        size = image.record.file.stat().st_size
        if not (target.is_file() and target.stat().st_size == size):
            with atomic_path(target) as temporary:
                shutil.copyfile(image.record.file, temporary)
        if progress is not None:
            progress("originals", done, len(originals.images))


def write_tables(
    out: Path,
    originals: Originals,
    copies: Sequence[Copy],
    rows: Sequence[tuple[object, ...]],
) -> None:
    """Write provenance.csv, split.csv where there was a split, and manifest.csv.

    Args:
        out: the folder.
        originals: its originals.
        copies: its copies.
        rows: of the provenance table, one per copy, its hash last.
    """
    groups = {image.path: image.group for image in originals.images}
    parts = {image.path: image.part for image in originals.images}
    entries = [(i.path, i.label, i.part, i.group) for i in originals.images]
    entries += [
        (c.path, c.source.label, parts[c.source.path], groups[c.source.path])
        for c in copies
    ]
    # What is there is of the same state, and perhaps edited since: it stays.
    if not (out / PROVENANCE).is_file():
        write_csv(out / PROVENANCE, _PROVENANCE_HEADER, rows)
    if originals.has_split and not (out / SPLIT).is_file():
        made = [
            SplitRow(
                c.path, "labeled", c.source.label, groups[c.source.path], str(row[-1])
            )
            for c, row in zip(copies, rows, strict=True)
        ]
        Split(ordered([*originals.split_rows(), *made])).save(out / SPLIT)
    if not (out / MANIFEST_NAME).is_file():
        write_manifest(out / MANIFEST_NAME, entries)


def write_manifest(path: Path, entries: Sequence[tuple[str | None, ...]]) -> None:
    """Write names as they are: `uda` reads cells to the letter.

    A path that a spreadsheet would run gets ``./`` in front, which means the same.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("path", "label", "split", "group"))
    for name, *rest in sorted(entries, key=lambda entry: str(entry[0])):
        safe = f"./{name}" if str(name).startswith(("=", "+", "-", "@")) else name
        writer.writerow([safe, *(cell or "" for cell in rest)])
    raw = buffer.getvalue().encode("utf-8", "surrogateescape")
    atomic_write(path, raw)
