"""``--group``: which images belong together, by column, by looking, or none."""

from __future__ import annotations

from collections.abc import Mapping

from uda.data.records import Catalog


def resolve_groups(catalog: Catalog, choice: str | None) -> Mapping[str, str] | None:
    """Return the group by path that ``--group`` asks for, or None for no groups.

    Args:
        catalog: the images, scanned with ``group_column(choice)``.
        choice: ``auto`` (look for twins in the pixels), ``none``, a column's name,
            or None: what the catalog says of itself.
    """
    if choice == "none":
        return None
    if choice == "auto":
        from uda.data.duplicates import find_groups

        return find_groups(catalog).groups
    return catalog.groups() or None


def group_column(choice: str | None) -> str | None:
    """Return the manifest column that a choice names, if it names one."""
    return None if choice in ("auto", "none") else choice
