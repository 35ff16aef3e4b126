"""Images whose label is a node of the class tree ("defect, type unknown").

They train and never test: nobody knows the class that an answer should have had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from uda.data.records import Catalog
from uda.data.splitfile import Split, SplitRow, ordered
from uda.data.table import listing, shown
from uda.errors import DataError
from uda.tree import Tree

Draw = Callable[[Catalog], tuple[Split, list[str]]]


def draw_with_coarse(
    draw: Draw, catalog: Catalog, tree: Tree | None
) -> tuple[Split, list[str]]:
    """Draw a split in which coarse labels are in the labelled part alone.

    The draw sees those images without a label, so that validation and test do not
    depend on them. What it then puts with the unlabelled ones is labelled; what it
    holds out (a group of validation or test) stays out.

    Args:
        draw: makes or extends a split of a catalog.
        catalog: with the coarse labels.
        tree: of the classes; None, or no coarse label, changes nothing.
    """
    names = set() if tree is None else set(tree.coarse)
    coarse = {
        record.path: record.label
        for record in catalog.records
        if record.label in names and record.part in (None, "train")
    }
    if tree is None or not any(record.label in names for record in catalog.records):
        return draw(catalog)
    hidden = tuple(
        replace(record, label=None) if record.label in names else record
        for record in catalog.records
    )
    split, notes = draw(replace(catalog, records=hidden, classes=tree.classes))
    closed = _held(split)
    rows = [
        replace(row, part="labeled", label=coarse[row.path])
        if _may_train(row, coarse, closed)
        else row
        for row in split.rows
    ]
    found = Split(ordered(rows))
    used = [row.path for row in found.part("labeled") if row.label in names]
    note = (
        f"{len(used)} images have a label of several classes "
        f"({listing(sorted(names & {str(v) for v in coarse.values()}))}): they are "
        "labelled training images, and in no other part"
    )
    return found, [*notes, note]


def _held(split: Split) -> set[str]:
    rows = (*split.part("validation"), *split.part("test"))
    return {row.group for row in rows if row.group is not None}


def _may_train(
    row: SplitRow, coarse: Mapping[str, str | None], closed: set[str]
) -> bool:
    """A transductive split has unlabelled images of the test's groups.

    One that was labelled before keeps its old label, where the draw saw none.
    """
    training = row.part in ("unlabeled", "labeled")
    return training and row.path in coarse and row.group not in closed


def refuse_coarse_tests(split: Split, tree: Tree | None) -> None:
    """Refuse a split that asks for classes nobody knows.

    Raises:
        DataError: a coarse label is in validation or test.
    """
    if tree is None:
        return
    rows = (*split.part("validation"), *split.part("test"))
    wrong = [row.path for row in rows if row.label in tree.coarse]
    if wrong:
        raise DataError(
            f"{len(wrong)} images of validation or test have a label of several "
            f"classes ({listing([shown(path) for path in wrong], 3)}), so no answer "
            "can be checked; draw the split with the tree: `uda split DATA --tree "
            "tree.yaml` (or --good-class)"
        )
