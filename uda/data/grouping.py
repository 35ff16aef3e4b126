"""Which images belong together: the user's word, a column, or found automatically."""

from __future__ import annotations

from uda.data.records import Catalog
from uda.errors import UsageError


def resolve_groups(
    catalog: Catalog, choice: str | None
) -> tuple[dict[str, str] | None, list[str]]:
    """Turn ``--group`` into groups by path.

    Args:
        catalog: the images; scanned with ``group_column`` where one was named.
        choice: ``auto`` (find them), ``none`` (every image on its own), a column's
            name, or None: the column ``group`` where there is one.

    Returns:
        Group by path (None: every image on its own), and notes in words.

    Raises:
        UsageError: a column was named that the manifest does not have.
    """
    if choice == "auto":
        from uda.data.duplicates import find_groups

        return dict(find_groups(catalog).groups), []
    if choice == "none":
        return None, []
    if choice is not None and choice not in catalog.columns:
        columns = ", ".join(catalog.columns) or "none, this is no manifest"
        raise UsageError(
            f"--group {choice!r}: no such column (columns: {columns}); name one, or "
            "use --group auto"
        )
    groups = catalog.groups()
    if groups:
        return groups, []
    return None, [
        "images were split without groups: twins of test images may be in training. "
        "Check with `uda inspect`, or use --group auto"
    ]
