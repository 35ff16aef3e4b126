"""How a run's labelled images are dealt into folds, with the run's own settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from uda.data.folds import fold_notes, fold_splits
from uda.data.records import Catalog
from uda.data.splitfile import Split, ordered
from uda.errors import UsageError
from uda.training.class_tree import class_tree
from uda.training.config import RunConfig
from uda.training.patience import refuse_nothing_to_look_at
from uda.training.prior import refuse_unestimable
from uda.tree import Tree


@dataclass(frozen=True)
class Dealing:
    """How often the labelled images are dealt, into how many folds."""

    folds: int
    repeats: int = 1

    @property
    def trainings(self) -> int:
        """How many trainings that makes, with the final one."""
        return self.folds * self.repeats + 1


def deal(
    config: RunConfig, catalog: Catalog, split: Split, dealing: Dealing
) -> Iterator[tuple[int, int, Split]]:
    """Yield (repeat, fold, split) of each fold training.

    See `fine_folds` for images labelled by a node of the tree.
    """
    coarse = _coarse(class_tree(config, catalog))
    for repeat in range(dealing.repeats):
        splits = fine_folds(
            split,
            coarse,
            num_folds=dealing.folds,
            repeat=repeat,
            seed=config.seed,
            multi_label=config.data.multi_label,
        )
        for fold, one in enumerate(splits):
            yield repeat, fold, one


def fine_folds(
    split: Split,
    coarse: Collection[str],
    *,
    num_folds: int,
    repeat: int,
    seed: int,
    multi_label: bool = False,
) -> tuple[Split, ...]:
    """Deal a split whose labels may be nodes of a tree ("defect, type unknown").

    Images with such a label train and are never held out, as no answer could be
    checked.

    Args:
        split: of the data.
        coarse: the labels that are nodes.
        num_folds: see `data.folds.fold_splits`, as for all others.
        repeat: number of the repeat.
        seed: of the draws.
        multi_label: whether labels may name several classes.
    """
    found = fold_splits(
        without_coarse(split, coarse),
        num_folds=num_folds,
        repeat=repeat,
        seed=seed,
        multi_label=multi_label,
    )
    return tuple(_with_coarse(one, split, coarse) for one in found)


def _coarse(tree: Tree | None) -> tuple[str, ...]:
    return () if tree is None else tree.coarse


def without_coarse(split: Split, names: Collection[str]) -> Split:
    """Return the split with coarsely labelled images among the unlabelled ones."""
    rows = (
        replace(row, part="unlabeled") if row.label in names else row
        for row in split.rows
    )
    return Split(ordered(rows))


def _with_coarse(fold: Split, split: Split, names: Collection[str]) -> Split:
    """Label again what is coarse, was labelled, and is of no group held out.

    Where its group moved from validation to the labelled images, it goes along.
    """
    moved = {
        row.group
        for row in fold.part("labeled")
        if row.group and split.by_path[row.path].part == "validation"
    }
    rows = []
    for row in fold.rows:
        if row.part == "unlabeled" and row.label in names:
            old = split.by_path[row.path]
            goes = old.part == "validation" and row.group in moved
            rows.append(replace(old, part="labeled") if goes else old)
        else:
            rows.append(row)
    return Split(ordered(rows))


def refuse_too_few(config: RunConfig, split: Split, coarse: Collection[str]) -> None:
    """Refuse a split whose validation part is too small for what the settings ask.

    Args:
        config: of a training.
        split: of it.
        coarse: labels that are nodes of the tree.

    Raises:
        UsageError: says what is missing.
    """
    found = Counter(row.label for row in split.part("validation"))
    refuse_nothing_to_look_at(config, found.total())
    labels = {row.label for row in split.rows if row.part != "unlabeled"}
    classes = sorted(name for name in labels if name and name not in coarse)
    refuse_unestimable(config, {name: found[name] for name in classes})


def check_deal(
    config: RunConfig, catalog: Catalog, split: Split, dealing: Dealing
) -> list[str]:
    """Deal once, so that what cannot be is refused now; return what is to be told."""
    coarse = _coarse(class_tree(config, catalog))
    refuse_too_few(config, split, coarse)
    for repeat, fold, one in deal(config, catalog, split, dealing):
        try:
            refuse_too_few(config, one, coarse)
        except UsageError as error:
            where = f"repeat {repeat}, fold {fold}"
            raise UsageError(f"--folds {dealing.folds}, {where}: {error}") from error
    notes = fold_notes(
        without_coarse(split, coarse),
        num_folds=dealing.folds,
        multi_label=config.data.multi_label,
    )
    if config.model.weights is None:
        return [*notes]
    return [
        *notes,
        f"{config.model.weights}: weights that were trained on these images (`uda "
        "pretrain` on the same folder) have seen what the folds hold out, though no "
        "label of it",
    ]
