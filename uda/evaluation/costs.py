"""A cost matrix from a CSV file: what each mistake costs, and the cheapest answer.

Rows are the truth, columns the answer, both by class name, in any order and any unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uda.data.table import listing, read_table, shown
from uda.errors import DataError

Floats = npt.NDArray[np.float64]
Costs = tuple[tuple[float, ...], ...]
TRUE = "true"


def read_costs(path: Path, classes: Sequence[str]) -> Costs:
    """Read ``true,Good,Rust`` and a row per true class.

    Args:
        path: UTF-8 CSV, separated by comma, semicolon or tab.
        classes: (C,) names of the model's classes.

    Returns:
        (C, C) costs by true class (row) and answer (column), in the order of classes.

    Raises:
        DataError: names that are no classes, come twice or are missing; a cell that is
            no number, negative or infinite; costs that are all alike.
    """
    table = read_table(path, [TRUE])
    titles = [name for name in table.titles if name]
    answers = [name for name in titles if name.lower() != TRUE]
    _refuse_names(f"{path}, line 1", answers, classes, "column")
    rows: dict[str, tuple[float, ...]] = {}
    for line, cells in table.rows:
        where = f"{path}, line {line}"
        name = cells[TRUE].strip()
        if name in rows:
            raise DataError(f"{where}: a second row for {shown(name)}; keep one")
        if name not in classes:
            _refuse_names(where, [name], classes, "row", complete=False)
        # Header cells are lower case in a table.
        ordered = [cells[key] for key in table.header if key and key != TRUE]
        found = dict(zip(answers, ordered, strict=True))
        rows[name] = tuple(_cost(found[c], f"{where}, column {c}") for c in classes)
    _refuse_names(str(path), list(rows), classes, "row")
    costs = tuple(rows[name] for name in classes)
    _refuse_flat(path, costs)
    return costs


def _refuse_names(
    where: str,
    names: Sequence[str],
    classes: Sequence[str],
    kind: str,
    *,
    complete: bool = True,
) -> None:
    unknown = [name for name in names if name not in classes]
    missing = [name for name in classes if name not in names] if complete else []
    if unknown:
        raise DataError(
            f"{where}: {kind} {listing(unknown)!r} is not a class of the model; its "
            f"classes: {listing(list(classes))}"
        )
    if missing:
        raise DataError(
            f"{where}: no {kind} for {listing(missing)}; the table needs a {kind} for "
            "each class of the model"
        )


def _cost(text: str, where: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(
            f"{where}: {shown(text)!r} is not a cost; write a number of 0 or more with "
            "a decimal point, in one unit for the whole table"
        )
    return value


def _refuse_flat(path: Path, costs: Costs) -> None:
    for row in costs:
        if max(row) > min(row):
            return
    raise DataError(
        f"{path}: within each row all costs are alike, so no answer is better than "
        "another; write what a mistake costs beside what a right answer costs (0)"
    )


def expected_costs(probs: Floats, costs: Costs) -> Floats:
    """Return (N, C) the mean cost of each answer under (N, C) probabilities."""
    return np.asarray(probs @ np.asarray(costs, dtype=np.float64))


def costs_to_json(costs: Costs, classes: Sequence[str]) -> dict[str, Any]:
    """Return costs by true class and answer."""
    return {
        name: dict(zip(classes, row, strict=True))
        for name, row in zip(classes, costs, strict=True)
    }


def costs_from_json(value: Mapping[str, Any], classes: Sequence[str]) -> Costs:
    """Return what `costs_to_json` made plain; nothing for an empty table.

    Raises:
        KeyError: a class is missing.
    """
    if not value:
        return ()
    return tuple(
        tuple(float(value[name][answer]) for answer in classes) for name in classes
    )
