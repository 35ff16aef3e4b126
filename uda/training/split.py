"""The images and the split that a training starts from, or goes on with."""

from __future__ import annotations

import shlex
from pathlib import Path

from uda.data.coarse import draw_with_coarse
from uda.data.groups import group_column, joined_notes, resolve_groups
from uda.data.labelfile import labels_of_split
from uda.data.records import BESIDE, Catalog, scan
from uda.data.refresh import FIXED
from uda.data.splits import Split, make_split
from uda.data.table import as_known, shown
from uda.errors import DataError, UsageError
from uda.training.class_tree import class_tree
from uda.training.config import RunConfig
from uda.words import data_flags


def find_split(config: RunConfig) -> tuple[Catalog, Split, list[str]]:
    """Find what a new training starts from: images, split, and notes.

    Raises:
        DataError: images are not there, or not what they were when the split was made.
    """
    catalog, split, notes = scan_split(config)
    if config.data.split is None:
        return catalog, split, notes
    split, faults = split.as_found(catalog, config.data.split)
    tested = tuple(f"{shown(row.path)} (test)" for row in split.part("test"))
    if any(fault.startswith(tested) for fault in faults):
        mend = _extending(config, split, catalog, refresh=True)
        faults.append(f"the test part follows the data by {mend}")
    return catalog, split, notes + faults


def scan_split(config: RunConfig) -> tuple[Catalog, Split, list[str]]:
    """Scan the data and load the split file as it is, or make a split."""
    catalog = scan(
        Path(config.data.root),
        unlabeled=[Path(folder) for folder in config.data.unlabeled],
        group_column=group_column(config.data.group),
        multi_label=config.data.multi_label,
    )
    if config.data.split is not None:
        split = Split.load(Path(config.data.split))
        _refuse_missing(config, split, catalog)
        split.refuse_other_labels(catalog, config.data.split)
        catalog, notes = labels_of_split(split, catalog)
        return catalog, split, notes + _left_out(config, split, catalog)

    def draw(shown: Catalog) -> tuple[Split, list[str]]:
        groups = resolve_groups(shown, config.data.group)
        made, notes = make_split(
            shown,
            groups,
            labels_per_class=config.data.labels_per_class,
            validation=config.data.validation,
            test=config.data.test,
            seed=config.seed,
        )
        return made, [*joined_notes(shown, groups), *notes]

    split, notes = draw_with_coarse(draw, catalog, class_tree(config, catalog))
    return catalog, split, [*catalog.notes, *notes]


def _refuse_missing(config: RunConfig, split: Split, catalog: Catalog) -> None:
    missing = [r.path for r in split.rows if r.path not in catalog.by_path]
    if not missing:
        return
    from_folders = any(BESIDE.fullmatch(path) for path in missing)
    fixed = any(split.by_path[path].part in FIXED for path in missing)
    way_out = (
        "give the same --unlabeled folders, in the same order, as `uda split` got"
        if from_folders and not config.data.unlabeled
        else "give the same data root and --unlabeled folders as `uda split` got, or "
        f"bring the split up to date: {_extending(config, split, catalog, fixed)}"
    )
    if any(as_known(path, catalog.by_path) != path for path in missing[:3]):
        way_out = (
            "some are there with letters in another Unicode form, as from a Mac: "
            "rename the files, or write the split anew"
        )
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    raise DataError(
        f"{config.data.split}: names {len(missing)} images that are not there "
        f"({', '.join(missing[:3])}{more}); {way_out}"
    )


def _left_out(config: RunConfig, split: Split, catalog: Catalog) -> list[str]:
    """Tell of images that the split file does not name; refuse a folder of them."""
    unknown = set(split.unknown(catalog))
    if not unknown:
        return []
    extra = {record.root for record in catalog.records if record.prefix}
    used = {r.root for r in catalog.records if r.prefix and r.path not in unknown}
    if extra - used:
        raise UsageError(
            f"--unlabeled {min(extra - used)}: the split file names no image of it; "
            "add them with `uda split DATA --unlabeled DIR --extend SPLIT --out NEW`"
        )
    return [
        f"{len(unknown)} images are not in the split file and take no part: held out "
        f"beside the test, or new. {_extending(config, split, catalog)} adds those "
        "that are new"
    ]


def _extending(
    config: RunConfig, split: Split, catalog: Catalog, refresh: bool = False
) -> str:
    """Return the command that brings a split up to date, in backquotes."""
    data, model = config.data, config.model
    words = ["uda", "split", data.root]
    words += data_flags(
        data.unlabeled,
        multi_label=data.multi_label,
        tree=model.tree,
        good_class=model.good_class,
    )
    if split.grouped and not catalog.groups():
        # Which column of a manifest it was, the split does not say.
        words += ["--group", "COLUMN|auto" if catalog.columns else "auto"]
    words += ["--extend", data.split or "SPLIT"] + ["--refresh"] * refresh
    return f"`{shlex.join([*words, '--out', _free(Path(data.split or 'split.csv'))])}`"


def _free(split: Path) -> str:
    """Return a name after that of a split file that no file here has yet."""
    number = 2
    while Path(f"{split.stem}-{number}.csv").exists():
        number += 1
    return f"{split.stem}-{number}.csv"
