"""Folders of unlabelled images, or a list that says which of their images to take.

A list is a CSV file with the columns path, folder and kept, as `uda filter` writes
it. An image keeps the name that it has when the whole folder is given.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from uda.data.folders import Found, find_images
from uda.data.table import listing, read_table, shown
from uda.errors import DataError
from uda.files import inside

LIST_SUFFIXES = (".csv", ".tsv")
LIST_COLUMNS = ("path", "folder", "kept")
_KEPT = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


@dataclass(frozen=True)
class Chosen:
    """One folder of unlabelled images.

    Attributes:
        folder: resolved.
        names: paths in the folder to take; None for all that are found.
        source: what the user gave: the folder, or the list that names it.
    """

    folder: Path
    names: frozenset[str] | None
    source: Path

    def find(self, *, skip: Collection[Path] = ()) -> Found:
        """Return the folder's images, those of the list alone where there is one.

        Raises:
            DataError: when images of the list are not there.
        """
        found = find_images(self.folder, skip=skip)
        if self.names is None:
            return found
        missing = sorted(self.names - set(found.images))
        if missing:
            raise DataError(
                f"{shown(self.source)}: {len(missing)} images are not in "
                f"{shown(self.folder)}: {listing(missing, 3)}; restore them, or write "
                "the list again with `uda filter`"
            )
        # What else lies there was looked at when the list was written.
        images = [path for path in found.images if path in self.names]
        return replace(Found(self.folder), images=images)


def chosen_folders(given: Sequence[Path]) -> list[Chosen]:
    """Return the folders that ``--unlabeled`` names, lists opened, in their order.

    A list counts as the folders that it names, in the order of its rows.

    Raises:
        DataError: no such folder, or a list that is wrong; names file and line.
    """
    found: list[Chosen] = []
    for source in (Path(path) for path in given):
        if source.suffix.lower() in LIST_SUFFIXES and source.is_file():
            found += _read_list(source)
        else:
            found.append(Chosen(_existing(source, source), None, source))
    return found


def _existing(folder: Path, source: Path) -> Path:
    if not folder.is_dir():
        where = "" if folder == source else f" (named by {shown(source)})"
        raise DataError(
            f"{shown(folder)}{where}: no such folder of unlabelled images; check "
            "--unlabeled"
        )
    return folder.resolve()


def _read_list(source: Path) -> list[Chosen]:
    names: dict[Path, set[str]] = {}
    for line, cells in read_table(source, LIST_COLUMNS).rows:
        where = f"{shown(source)}, line {line}"
        word = cells["kept"].strip().lower()
        if word not in _KEPT:
            raise DataError(f"{where}: kept '{shown(word)}' is neither 1 nor 0")
        folder = _existing(source.parent / cells["folder"].strip(), source)
        of_folder = names.setdefault(folder, set())
        if _KEPT[word]:
            path = PurePosixPath(cells["path"]).as_posix()
            try:
                inside(folder, path)
            except DataError as error:
                raise DataError(f"{where}: {shown(error)}") from error
            of_folder.add(path)
    if not any(names.values()):
        raise DataError(
            f"{shown(source)}: keeps no image; write it again with a larger --keep or "
            "--per-class"
        )
    return [Chosen(k, frozenset(v), source) for k, v in names.items() if v]
