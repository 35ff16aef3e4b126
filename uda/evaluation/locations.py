"""Where the images of a run lie: its data, and the folders of unlabelled images.

A run remembers both. The names of its split are those that ``uda.data.records.scan``
gives: ``@k/PATH`` is an image of the k-th folder, which lies outside the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from uda.data.chosen import LIST_SUFFIXES, chosen_folders
from uda.data.records import BESIDE
from uda.errors import CheckpointError
from uda.files import inside
from uda.run.layout import RunFolder


def data_root(run: RunFolder) -> Path:
    """Return the data folder, or the manifest, that a run was trained from.

    Raises:
        CheckpointError: when the run's configuration cannot be read.
    """
    return Path(str(_data(run)["root"]))


def unlabeled_folders(run: RunFolder) -> list[Path]:
    """Return the folders and lists that the run was given as ``--unlabeled``.

    Raises:
        CheckpointError: as `data_root`.
    """
    return [Path(str(path)) for path in _data(run).get("unlabeled") or ()]


def group_choice(run: RunFolder) -> str | None:
    """Return what the run's ``--group`` was, if anything.

    Raises:
        CheckpointError: as `data_root`.
    """
    choice = _data(run).get("group")
    return None if choice is None else str(choice)


def image_folder(run: RunFolder, data: Path | None = None) -> Path:
    """Return the folder that the paths of a run's split start from.

    Args:
        run: the run.
        data: where the data are now; None for where the run found them.

    Raises:
        CheckpointError: as `data_root`.
    """
    root = data_root(run) if data is None else data
    # Of a manifest, the folder that it lies in.
    return root.parent if root.suffix.lower() in (".csv", ".tsv") else root


def image_files(
    run: RunFolder, names: Iterable[str], data: Path | None = None
) -> list[Path]:
    """Return where the images of a split lie; whether they do is not asked.

    Args:
        run: the run, which knows its folders of unlabelled images.
        names: the images' paths in a split.
        data: where the data are now; None for where the run found them.

    Raises:
        CheckpointError: as `data_root`.
        DataError: a path that leaves its folder, or a list of images that is gone.
    """
    root = image_folder(run, data)
    names = list(names)
    folders: list[Path] = []
    if any(BESIDE.fullmatch(name) for name in names):
        folders = [f for given in unlabeled_folders(run) for f in _opened(given)]
    return [_file(root, folders, name) for name in names]


def _opened(given: Path) -> list[Path]:
    """Return the folders that one ``--unlabeled`` names."""
    # A folder that is gone keeps its place: perhaps none of its images is asked for.
    if given.suffix.lower() not in LIST_SUFFIXES and not given.exists():
        return [given]
    return [one.folder for one in chosen_folders([given])]


def _file(root: Path, folders: list[Path], name: str) -> Path:
    found = BESIDE.fullmatch(name)
    if found and int(found[1]) < len(folders):
        file = folders[int(found[1])] / found[2]
        # The data may hold a folder that is called so; what is there counts.
        if file.is_file() or not (root / name).is_file():
            return inside(folders[int(found[1])], found[2])
    return inside(root, name)


def _data(run: RunFolder) -> dict[str, Any]:
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        data: dict[str, Any] = config["data"]
        data["root"]  # a run without it says nothing
        return data
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{run.config}: does not say where the data are ({error}); copy the run "
            "folder again"
        ) from error
