"""What ``--overwrite`` may replace: an older list or picture of the same command.

Never a photo, another kind of list, or one in which somebody has filled in answers.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from uda.errors import DataError, UsageError

LISTS = (".csv", ".tsv")


def check_list(
    out: Path, columns: Collection[str], *, overwrite: bool, answers: str | None = None
) -> None:
    """Refuse a place for a list, before there is anything to lose.

    Args:
        out: as given.
        columns: that tell a list of this command from others.
        overwrite: whether an older one may be replaced.
        answers: the column that a person fills in, if there is one.

    Raises:
        UsageError: no name of a CSV file, a file is there, or one that has to stay.
    """
    if out.suffix.lower() not in LISTS:
        raise UsageError(f"--out {out}: the list is a CSV file; call it .csv")
    if not os.path.lexists(out):
        return
    filled = _filled(out, columns, answers)
    if filled is None:
        raise UsageError(
            f"{out} is there already and is no list of this command, so it stays; "
            "choose another --out"
        )
    if filled:
        raise UsageError(
            f"{out} is there already, with {filled} answers in its column "
            f"{answers!r}; choose another --out, or move it away"
        )
    if not overwrite:
        raise UsageError(
            f"{out} is there already; choose another --out, or add --overwrite"
        )


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a picture where a photo, or without a word any, is there.

    Raises:
        UsageError: a file is there that has to stay.
    """
    from uda.reporting.sheets import is_sheet

    if not os.path.lexists(path):
        return
    if not is_sheet(path):
        raise UsageError(
            f"{path} is there already and is no sheet of this tool, so it stays; "
            "choose another --out"
        )
    if not overwrite:
        raise UsageError(
            f"{path} is there already; choose another --out, or add --overwrite"
        )


def _filled(out: Path, columns: Collection[str], answers: str | None) -> int | None:
    """Return how many rows have an answer; None for a file of another kind."""
    from uda.data.table import read_table

    try:
        table = read_table(out, sorted(columns))
    except DataError:
        return None
    return (
        sum(bool(cells[answers].strip()) for _, cells in table.rows) if answers else 0
    )
