"""What a training is going to do and how long it takes, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from uda.augment.policy import packaged_policies, policy_file
from uda.data.defects import LEAST_SIDE
from uda.data.finer import usual_side
from uda.data.table import listing
from uda.run.layout import RunFolder
from uda.training.alerts import interplay
from uda.training.config import RunConfig
from uda.training.length import Length, pace_of
from uda.training.monitor.progress import format_seconds
from uda.training.prepare import Parts
from uda.training.schedules import consistency_start

_MANY = 2.0  # pixels of a file that become one, from which on it is said
_START_LEFT = 0.01


def time_words(planned: RunConfig, length: Length, parts: Parts, trainings: int) -> str:
    """Say how long one training or several take.

    Args:
        planned: configuration of one training, with its steps.
        length: of one training.
        parts: its images.
        trainings: how many there are.
    """
    if planned.method == "texture":
        many = trainings > 1
        return f"{trainings} trainings of seconds each" if many else "takes seconds"
    seconds = length.budget or _seconds(planned, parts)
    if trainings == 1:
        return f"takes about {format_seconds(seconds)}"
    each, all_of_them = (format_seconds(n * seconds) for n in (1, trainings))
    return f"{trainings} trainings of about {each} each, {all_of_them} in all"


def _seconds(planned: RunConfig, parts: Parts) -> float:
    """Time a few steps and return how long the planned training takes."""
    pace = pace_of(planned, parts)
    warm_start = planned.model.pretrain_steps or 0
    steps = planned.loop.steps * pace.step + warm_start * pace.warm_start
    return pace.before + steps


def _shrinking(parts: Parts) -> list[str]:
    """Say how many pixels of the files become one, where they are many."""
    side, longer = usual_side(parts.pool.records), max(parts.pool.images.shape[1:3])
    factor = side / longer
    if factor < _MANY:
        return []
    return [
        f"the files have {side} pixels along the longer side, so {factor:.0f} become "
        f"one: a defect of fewer than {LEAST_SIDE * factor:.0f} is nearly gone (more "
        "with --imgsz or --tiles)"
    ]


def _own_views(config: RunConfig) -> list[str]:
    """Name the files in ./policies that are views of this run.

    They come before those of the package, and may be programs.
    """
    if config.method == "texture":
        return []
    # All three are loaded, so that a misspelt one is told, and a program run by that.
    used = ("labeled", "weak", "strong")
    named = {view: policy_file(getattr(config.views, view)) for view in used}
    here, ours = Path("policies").resolve(), packaged_policies().values()
    return [
        f"{view} view: {Path('policies', file.name)}, of the folder that you are in"
        for view, file in named.items()
        if file is not None and file.parent.resolve() == here and file not in ours
    ]


def _of_the_pile(config: RunConfig, parts: Parts) -> str:
    if not config.semi_supervised:
        return ""
    known = int(np.isin(parts.truly_labeled.labeled, parts.unlabeled).sum())
    some = f" ({known} of them labelled)" if known else ""
    return f"{len(parts.unlabeled)} in the unlabelled stream{some}, "


def _of_the_start(config: RunConfig) -> list[str]:
    """Say where the random start decides: in the average, or in a frozen trunk."""
    if config.method == "texture":
        return []
    model, loop, told = config.model, config.loop, []
    left = 0.0 if loop.ema_warmup else loop.ema_decay**loop.steps
    if left >= _START_LEFT:
        told.append(
            f"{left:.0%} of the averaged network will still be its start: take "
            "more steps, --set loop.ema_warmup=true, or a smaller loop.ema_decay"
        )
    started = model.weights or model.pretrained or model.pretrain_steps
    if model.frozen_steps and not started:
        told.append(
            f"the trunk stands still for {model.frozen_steps} steps, and is a random "
            "one (--weights, --pretrained or --pretrain-steps give it a start)"
        )
    return told


def plan_words(config: RunConfig, parts: Parts, run: RunFolder | None) -> str:
    """Say what a training will do; ``run`` is where, if it is to stay."""
    height, width, channels = parts.pool.images.shape[1:]
    shown = [f"{h}x{w} for {share:.0%}" for h, w, share in config.data.sizes]
    lines = [
        f"method {config.method}, recipe {config.recipe}, seed {config.seed}",
        f"images {height}x{width}x{channels}: "
        f"{len(parts.labeled) - parts.guessed} labelled in "
        f"{len(parts.classes)} classes, {_of_the_pile(config, parts)}"
        f"{len(parts.validation)} for validation",
    ]
    lines += _shrinking(parts)
    if shown:
        lines.append(f"one size after the other: {', '.join(shown)} of the steps")
    if config.data.tiles is not None:
        rows, columns = config.data.tiles
        lines.append(
            f"each image cut into {rows}x{columns} tiles, joined by "
            f"{config.data.tile_join} against {config.data.background}"
        )
    if parts.guessed:
        lines.append(f"{parts.guessed} of the unlabelled ones have a pseudo-label")
    if parts.pool.skipped:
        names = listing([path for path, _ in parts.pool.skipped], 3)
        where = "" if run is None else f"; see {run.path / 'skipped.csv'}"
        lines.append(f"{len(parts.pool.skipped)} files skipped: {names}{where}")
    lines += parts.pool.notes
    lines += _own_views(config)
    if config.method != "texture":
        lines.append(
            f"model {config.model.name}, {config.loop.steps} steps of "
            f"{config.loop.batch} labelled images"
        )
    lines += _of_the_start(config)
    if config.semi_supervised:
        lines.append(
            f"unlabelled branch from step {consistency_start(config)}, "
            f"{config.consistency.unlabeled_ratio} unlabelled per labelled image, "
            f"targets by --weak-pass {config.consistency.weak_pass}"
        )
        lines += [text for text in [interplay(config, len(parts.classes))] if text]
    if run is not None:
        curves = config.method != "texture"  # which is fitted in one go
        watch = f"; watch: uda monitor {run.path}" if curves else ""
        lines.append(f"run folder {run.path}{watch}")
    return "\n".join(lines)
