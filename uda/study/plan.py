"""From strategies to configurations, all checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uda.data.coarse import refuse_coarse_tests
from uda.data.records import Catalog
from uda.data.splits import Split
from uda.data.table import shown
from uda.errors import UdaError, UsageError
from uda.study.request import Planned, Request
from uda.study.strategies import Strategy
from uda.training import sizes
from uda.training.class_tree import class_tree
from uda.training.config import RunConfig
from uda.training.configure import build_config
from uda.training.length import Length
from uda.training.prepare import Policies

# What the study itself says.
_RESERVED = {
    "data.root": "DATA",
    "data.split": "--split of the study",
    "data.unlabeled": "--unlabeled of the study",
    "data.group": "the split",
    "data.labels_per_class": "the split",
    "data.validation": "the folds",
    "data.test": "the folds",
    "data.pseudo_labels": "the split",
    "loop.steps": "--steps or --budget of the study",
    "loop.threads": "the study: one thread for each of --jobs",
    "seed": "--seed of the study",
}
_FILES = ("model.weights", "model.tree", "data.boxes")


def configuration(
    planned: Planned, request: Request, *, split: Path, seed: int
) -> RunConfig:
    """Return the configuration of one training of a strategy.

    Raises:
        UsageError: a key that is unknown, has no effect, or is the study's to say.
    """
    for key in planned.keys:
        if key in _RESERVED:
            raise UsageError(f"{key} is said by {_RESERVED[key]}; take it away")
    if planned.keys.get("data.multi_label"):
        raise UsageError("--multi-label: studies are of one label per image")
    keys = {
        **planned.keys,
        "data.root": request.data,
        "data.split": str(split),
        "loop.threads": 1,
        "seed": seed,
    }
    if request.unlabeled:
        keys["data.unlabeled"] = request.unlabeled
    return build_config(keys)


def length_of(request: Request, config: RunConfig) -> Length:
    """Return how long a strategy trains; the classical baseline has no steps."""
    if config.method == "texture":
        return Length()
    return Length(steps=request.steps, budget=request.budget)


def check_plan(
    plan: Sequence[Planned], request: Request, catalog: Catalog, split: Split
) -> None:
    """Refuse a plan of which a strategy could not be trained.

    Raises:
        UsageError: naming the strategy.
    """
    trained = {planned.strategy.name: planned for planned in plan}
    for planned in plan:
        strategy = planned.strategy
        try:
            if strategy.of is None:
                _check(planned, request, catalog, split)
            else:
                _check_views(strategy, trained[strategy.of])
        except UdaError as error:
            raise UsageError(f"strategy {strategy.name!r}: {error}") from error


def coarse_labels(
    plan: Sequence[Planned], request: Request, catalog: Catalog, split: Split
) -> tuple[str, ...]:
    """Return the labels of a split that name several classes, by the trees of a plan.

    Raises:
        UsageError: a class for one strategy and several for another: their answers
            could not be compared.
    """
    rows = (row for row in split.rows if row.part != "unlabeled")
    labels = {row.label for row in rows if row.label is not None}
    found: dict[str, set[str]] = {}
    for planned in plan:
        if planned.strategy.of is None:
            config = configuration(planned, request, split=Path(request.split), seed=0)
            tree = class_tree(config, catalog)
            refuse_coarse_tests(split, tree)
            names = () if tree is None else tree.coarse
            found[planned.strategy.name] = labels.intersection(names)
    widest = max(found, key=lambda name: len(found[name]))
    for name, coarse in found.items():
        if coarse != found[widest]:
            label = sorted(found[widest] ^ coarse)[0]
            one, other = (widest, name) if label in found[widest] else (name, widest)
            raise UsageError(
                f"the label {shown(label)} is no class but several for strategy "
                f"{one!r}, and a class for {other!r}, so their answers cannot be "
                "compared; give all the same --tree or --good-class among their "
                "flags, or list only such that have none"
            )
    return tuple(sorted(found[widest]))


def _check(planned: Planned, request: Request, catalog: Catalog, split: Split) -> None:
    config = configuration(planned, request, split=Path(request.split), seed=0)
    for key in _FILES:
        section, _, name = key.partition(".")
        path = getattr(getattr(config, section), name)
        if path is not None and not Path(path).exists():
            raise UsageError(f"{path}: no such file")
    class_tree(config, catalog)
    if config.method == "texture":
        return
    Policies.load(config)
    if request.steps is not None:
        sizes.check(config.changed({"loop.steps": request.steps}))
    if config.semi_supervised and not split.part("unlabeled"):
        raise UsageError(
            "the split has no unlabelled image for it; take the strategy out, or add "
            "images with `uda split --unlabeled DIR --extend`"
        )


def _check_views(strategy: Strategy, trained: Planned) -> None:
    size = build_config(trained.keys).data.size
    if strategy.tta == "d4" and size[0] != size[1]:
        raise UsageError(
            f"tta: d4 turns images by 90 degrees, and those of {strategy.of!r} are not "
            "square; take flips"
        )
