"""From a configuration to the values that the loop needs: parts, pool, streams.

The test part is dropped here, before anything is decoded: training cannot see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from uda.augment.policy import Policy, PythonPolicy, load_policy
from uda.cores import reading_threads
from uda.data.coarse import refuse_coarse_tests
from uda.data.finer import detail_size, usual_side
from uda.data.multilabel import counts_of, members, rarest, split_text
from uda.data.pool import Pool, build_pool, default_cache
from uda.data.records import Catalog, Record
from uda.data.sampling import LabeledSampler, UnlabeledSampler
from uda.data.splits import Split
from uda.data.streams import TrainStream
from uda.errors import DataError
from uda.training.class_tree import class_tree, drawn_as
from uda.training.config import RunConfig
from uda.training.detail import reads_texture
from uda.training.pseudo import read_pseudo_labels
from uda.training.schedules import consistency_start, size_starts
from uda.tree import Tree

Progress = Callable[[str, int, int], None]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The images of a run as rows of the pool.

    Attributes:
        labeled: (n,) rows and their ``targets``; with several labels per image all
            targets are (n, C) of 0 and 1 in place of (n,), unknown rows -1.
        unlabeled: (m,) rows; with the labelled ones where the recipe says so.
        groups: (n,) group of each labelled image; its path where it has none.
        validation: (v,) rows, their ``validation_targets`` and ``validation_groups``.
        hidden: (N,) class index of every pool row where the split file knows it,
            else -1; for diagnosis alone (how many pseudo-labels are right), never
            a target.
        tree: of the classes, or None. With one, targets of C and more are nodes
            below its root: labels of several classes (``training.class_tree``).
        smaller: the same rows at the sizes that training begins with, in order.
        detail: the same rows at more pixels, for texture; None where ``pool`` has
            them all.
        guessed: so many at the end of ``labeled`` have a pseudo-label: they train
            like labelled ones and count as unlabelled ones elsewhere.
    """

    pool: Pool
    classes: tuple[str, ...]
    labeled: Rows
    targets: Rows
    unlabeled: Rows
    hidden: Rows
    groups: tuple[str, ...]
    validation: Rows
    validation_targets: Rows
    validation_groups: tuple[str, ...]
    smaller: tuple[Pool, ...] = ()
    detail: Pool | None = None
    tree: Tree | None = None
    guessed: int = 0

    @property
    def training_rows(self) -> Rows:
        """(t,) sorted rows that training may look at: labelled and unlabelled."""
        return np.union1d(self.labeled, self.unlabeled)

    @property
    def texture_pool(self) -> Pool:
        """Where texture is read: at more pixels than the network gets, if there are."""
        return self.pool if self.detail is None else self.detail

    @property
    def class_counts(self) -> Rows:
        """(C,) labelled training images per class."""
        targets = self.drawn_as if self.targets.ndim == 1 else self.targets
        return counts_of(targets, len(self.classes))

    @property
    def drawn_as(self) -> Rows:
        """(n,) class that each labelled image counts for in the sampler.

        Of several labels the rarest; C for an image without any.
        """
        if self.targets.ndim == 2:
            return rarest(self.targets)
        return drawn_as(self.targets, self.tree)

    @property
    def pile(self) -> Rows:
        """(p,) sorted rows of the unlabelled images that no person has labelled."""
        return np.setdiff1d(self.unlabeled, self.truly_labeled.labeled)

    @property
    def fine(self) -> Rows:
        """(f,) places in ``labeled`` of the images whose label is a class."""
        return np.flatnonzero(self.targets < len(self.classes))

    @property
    def truly_labeled(self) -> Parts:
        """The same images without pseudo-labels."""
        num = len(self.labeled) - self.guessed
        return replace(
            self,
            labeled=self.labeled[:num],
            targets=self.targets[:num],
            groups=self.groups[:num],
            guessed=0,
        )

    def with_pseudo_labels(self, classes: Mapping[str, int]) -> Parts:
        """Return the images with pseudo-labels {path: class index} added."""
        named = {p: c for p, c in classes.items() if p in self.pool.index}
        rows = np.array([self.pool.index[path] for path in named], dtype=np.int64)
        targets = np.array([*named.values()], dtype=np.int64)
        return replace(
            self,
            labeled=np.concatenate([self.labeled, rows]),
            targets=np.concatenate([self.targets, targets]),
            groups=(*self.groups, *named),
            guessed=len(rows),
        )

    def ids(self, rows: Sequence[int] | Rows) -> list[str]:
        """Return the paths of pool rows."""
        return [self.pool.records[int(row)].path for row in rows]


def cache_folder(config: RunConfig) -> Path:
    """Return where decoded images are kept between runs."""
    return Path(config.data.cache) if config.data.cache else default_cache()


def build_parts(
    config: RunConfig,
    catalog: Catalog,
    split: Split,
    progress: Progress | None = None,
) -> Parts:
    """Decode every image but the test part's, and sort rows into parts."""
    part_of = {row.path: row.part for row in split.rows if row.part != "test"}
    records: list[Record] = [catalog.by_path[path] for path in part_of]
    smaller = [
        _pool(config, records, (height, width), progress)
        for height, width, _ in config.data.sizes[:-1]
    ]
    pool = _pool(config, records, config.data.size, progress)
    detail = _detail_pool(config, records, progress)
    _refuse_other_rows(pool, [*smaller, *([detail] if detail else [])])
    tree = class_tree(config, catalog)
    refuse_coarse_tests(split, tree)
    parts = _sort_rows(config, tree or catalog.classes, split, pool)
    guessed = read_pseudo_labels(config.data.pseudo_labels, split, parts.classes)
    parts = parts.with_pseudo_labels(guessed) if guessed else parts
    return replace(parts, smaller=tuple(smaller), detail=detail)


def _detail_pool(
    config: RunConfig, records: list[Record], progress: Progress | None
) -> Pool | None:
    """Build the pool that texture is read from, where it is worth one."""
    # Cut into tiles, an image has all the pixels that texture asks for.
    if not reads_texture(config) or config.data.tiles is not None:
        return None
    size = detail_size(config.data.size, usual_side(records))
    return None if size is None else _pool(config, records, size, progress)


def _pool(
    config: RunConfig,
    records: list[Record],
    size: tuple[int, int],
    progress: Progress | None,
) -> Pool:
    """Build the pool of a size; with tiles, that is the size of one of them."""
    rows, columns = config.data.tiles or (1, 1)
    return build_pool(
        records,
        size=(size[0] * rows, size[1] * columns),
        channels=config.data.channels,
        mode=config.data.resize,
        cache=cache_folder(config),
        threads=reading_threads(),
        progress=progress,
    )


def _refuse_other_rows(pool: Pool, others: Sequence[Pool]) -> None:
    for other in others:
        if other.records != pool.records:
            raise DataError(
                "image files became (un)readable between two sizes; run again when "
                "nobody writes to the data folder"
            )


def _sort_rows(
    config: RunConfig, named: Tree | tuple[str, ...], split: Split, pool: Pool
) -> Parts:
    tree = named if isinstance(named, Tree) else None
    classes = named.classes if isinstance(named, Tree) else named
    names = classes if tree is None else (*classes, *tree.coarse)
    texts: list[str | None] = [None] * len(pool.records)
    several = config.data.multi_label
    rows: dict[str, list[int]] = {"labeled": [], "unlabeled": [], "validation": []}
    groups: dict[int, str] = {}
    for row in split.rows:
        if row.part in rows and row.path in pool.index:
            place = pool.index[row.path]
            rows[row.part].append(place)
            groups[place] = row.group or row.path
            # Of an unlabelled image the label is known for a comparison alone, and the
            # class may be gone from the data since.
            known = row.part != "unlabeled" or _named(row.label, names, several)
            texts[place] = (row.label or None) if known else None
    target = _numbers(texts, names, several=several)
    labeled = np.array(rows["labeled"], dtype=np.int64)
    extra = rows["labeled"] if config.consistency.include_labeled else []
    unlabeled = np.array([*rows["unlabeled"], *extra], dtype=np.int64)
    validation = np.array(rows["validation"], dtype=np.int64)
    _refuse_empty(classes, labeled, target)
    return Parts(
        pool=pool,
        classes=classes,
        labeled=labeled,
        targets=target[labeled],
        unlabeled=unlabeled,
        hidden=np.where(target < len(classes), target, -1),
        groups=tuple(groups[int(row)] for row in labeled),
        validation=validation,
        validation_targets=target[validation],
        validation_groups=tuple(groups[int(row)] for row in validation),
        tree=tree,
    )


def _named(label: str | None, names: Sequence[str], several: bool) -> bool:
    return set(split_text(label or "") if several else (label,)) <= set(names)


def _numbers(
    texts: Sequence[str | None], names: Sequence[str], *, several: bool
) -> Rows:
    """Return (N,) class numbers, -1 for none, or with several labels (N, C)."""
    if several:
        return members(texts, names)
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[text] if text else -1 for text in texts], dtype=np.int64)


def _refuse_empty(classes: tuple[str, ...], labeled: Rows, target: Rows) -> None:
    if len(classes) < 2:
        raise DataError(
            f"classes found: {', '.join(classes) or 'none'}; a classifier needs two "
            "or more, each with labelled images"
        )
    # Behind the classes are nodes of a tree, whose images name none of them.
    counts = counts_of(target[labeled], len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(
            f"no labelled training image of: {', '.join(empty)}; label some, take the "
            "class out, or where the data has some take them into the split file (uda "
            "split --extend)"
        )


@dataclass(frozen=True)
class Policies:
    """The augmentation policies of the three views."""

    labeled: Policy | PythonPolicy
    weak: Policy | PythonPolicy
    strong: Policy | PythonPolicy

    @classmethod
    def load(cls, config: RunConfig, own: Path | None = None) -> Policies:
        """Load the three policies by name or file; files in ``own`` are a run's."""
        views = config.views
        return cls(
            *(
                load_policy(name, record=Path(name).parent == own)
                for name in (views.labeled, views.weak, views.strong)
            )
        )


def refuse_no_pile(config: RunConfig, num_unlabeled: int) -> None:
    """Refuse to train an unlabelled branch on nothing.

    Raises:
        DataError: no unlabelled image where the method needs some.
    """
    branch = config.semi_supervised and config.consistency.weight > 0
    if branch and num_unlabeled == 0:
        raise DataError(
            "no unlabelled image: give a folder with --unlabeled, or train with "
            "--method supervised"
        )


def build_stream(config: RunConfig, parts: Parts, policies: Policies) -> TrainStream:
    """Build the stream of training batches; its clock counts micro batches."""
    labeled = LabeledSampler(
        parts.drawn_as,
        batch=config.loop.batch,
        seed=config.seed,
        power=config.supervised.sampling_power,
        max_repeat=config.supervised.max_repeat,
    )
    pools = (*parts.smaller, parts.pool)
    first = [start * config.optimizer.accumulation for start in size_starts(config)]
    sized = [(step, p.images) for step, p in zip(first, pools, strict=True)]
    stream = TrainStream(
        images=sized[0][1],
        later=tuple(sized[1:]),
        labeled_rows=parts.labeled,
        labeled_targets=parts.targets,
        labeled_sampler=labeled,
        labeled_policy=policies.labeled,
        seed=config.seed,
        fill=parts.pool.fill,
    )
    if not config.semi_supervised or config.consistency.weight == 0:
        return stream
    refuse_no_pile(config, parts.pile.size)
    unlabeled = UnlabeledSampler(
        len(parts.unlabeled),
        batch=config.loop.batch * config.consistency.unlabeled_ratio,
        seed=config.seed,
    )
    return replace(
        stream,
        unlabeled_rows=parts.unlabeled,
        unlabeled_sampler=unlabeled,
        weak=policies.weak,
        strong=policies.strong,
        unlabeled_start=consistency_start(config) * config.optimizer.accumulation,
    )
