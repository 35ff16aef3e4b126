"""``--group``: which images belong together, by column, by looking, or none."""

from __future__ import annotations

from collections.abc import Mapping

from uda.data.partition import connect
from uda.data.records import Catalog
from uda.data.table import listing


def resolve_groups(catalog: Catalog, choice: str | None) -> Mapping[str, str] | None:
    """Return the group by path that ``--group`` asks for, or None for no groups.

    Args:
        catalog: the images, scanned with ``group_column(choice)``.
        choice: ``auto`` (look for twins in the pixels, besides what the column
            ``group`` says), ``none``, a column's name, or None: what the catalog says
            of itself.
    """
    if choice == "none":
        return None
    if choice == "auto":
        from uda.data.duplicates import find_groups

        return joined(find_groups(catalog).groups, catalog.groups())
    return catalog.groups() or None


def group_column(choice: str | None) -> str | None:
    """Return the manifest column that a choice names, if it names one."""
    return None if choice in ("auto", "none") else choice


def joined_notes(catalog: Catalog, groups: Mapping[str, str] | None) -> list[str]:
    """Say which groups of the column became one, and what that costs.

    Args:
        catalog: the images.
        groups: what `resolve_groups` made of them.
    """
    told, names = catalog.groups(), dict[str, set[str]]()
    for path, name in told.items():
        names.setdefault((groups or {}).get(path, name), set()).add(name)
    lost = sorted(" = ".join(sorted(one)) for one in names.values() if len(one) > 1)
    if not lost:
        return []
    return [
        f"images of several groups of the column show the same: {listing(lost, 3)}; "
        "each is one group now, and new images are known by its first name alone (see "
        "groups.png of `uda inspect --group auto`; --group group keeps to the column)"
    ]


def joined(found: Mapping[str, str], told: Mapping[str, str]) -> Mapping[str, str]:
    """Join two groupings: what either puts together, also in a chain, is one group.

    It is called as in ``told``, by the first of several names; where ``told`` has
    none, as in ``found``, with ``+`` behind it if that name stands for others there.
    """
    paths = [*dict.fromkeys([*found, *told])]
    sides = (("found", found), ("told", told))
    keys = [[(s, names[path]) for s, names in sides if path in names] for path in paths]
    units = dict(zip(paths, connect(keys).tolist(), strict=True))
    names: dict[int, str] = {}
    for path in sorted(told, key=told.__getitem__):
        names.setdefault(units[path], told[path])
    taken = set(told.values())
    for path, name in found.items():
        if units[path] in names:
            continue
        while name in taken:
            name += "+"
        names[units[path]] = name
    return {path: names[unit] for path, unit in units.items()}
