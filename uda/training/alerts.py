"""What a run is watched for: the facts of its alarms, and annealing against the mask.

Training signal annealing caps the confidence on labelled images; a target needs a
confidence above the threshold. When the cap passes the threshold can be told before
the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from uda.errors import UsageError
from uda.objectives.annealing import tsa_threshold
from uda.training.config import RunConfig, flatten
from uda.training.configure import build_config
from uda.training.monitor import tags
from uda.training.monitor.alarms import CHECKS
from uda.training.monitor.book import AlarmBook
from uda.training.monitor.diagnosis import DIAGNOSIS
from uda.training.monitor.facts import Facts, Settings
from uda.training.multilabel import drawn_shares
from uda.training.prior import sampling_prior, stated_prior
from uda.training.schedules import annealing_progress, consistency_start
from uda.training.settled import told_by

if TYPE_CHECKING:
    from uda.training.prepare import Parts
    from uda.training.step import Moment
    from uda.training.trainer import Trainer

GATED = ("uda", "fixmatch", "flexmatch", "pseudo-label")


def alarm_book(
    config: RunConfig, parts: Parts, asked: RunConfig | None = None
) -> AlarmBook:
    """Return the alarms of a run, of faults and of treatments.

    Args:
        config: of the run.
        parts: its images.
        asked: the configuration that the run began with; None where that is it. One
            that goes on reads its own copies of policies, which nobody asked for.
    """
    targets = parts.validation_targets
    counts = (
        np.bincount(targets, minlength=len(parts.classes))
        if targets.ndim == 1
        else (targets > 0).sum(0)  # several labels per image
    )
    facts = Facts(
        classes=parts.classes,
        prior=_labeled_mix(config, parts),
        validation_counts=tuple(counts.tolist()),
        total_steps=config.loop.steps,
        unlabeled_prior=stated_prior(config, parts.classes),
        threshold=confidence_threshold(config),
        accepts=_acceptance(asked or config),
        log_every=config.loop.log_every,
        tsa_starts=annealing_starts(config, parts),
    )
    return AlarmBook(facts, (*CHECKS, *DIAGNOSIS))


def _labeled_mix(config: RunConfig, parts: Parts) -> tuple[float, ...]:
    """Return (C,) shares of the classes among the labels of the drawn images."""
    if parts.targets.ndim == 1:
        return sampling_prior(config, parts.class_counts)
    shown = drawn_shares(config, parts)  # several labels per image
    return tuple((shown / shown.sum()).tolist())


def annealing_starts(config: RunConfig, parts: Parts) -> tuple[float, ...]:
    """Return (C,) the annealing threshold from which each class starts.

    It is 1 for a class that never waits; empty where nothing waits for a threshold.
    """
    settings, num = config.supervised, len(parts.classes)
    if settings.tsa == "none" or settings.tsa_form == "quota":
        return ()
    starts = np.full(num, 1 / num)
    if settings.tsa_form == "prior":
        starts = np.maximum(starts, sampling_prior(config, parts.class_counts))
    starts[parts.class_counts < settings.tsa_exempt_below] = 1.0
    return tuple(starts.tolist())


def accepts(config: RunConfig, changes: Settings) -> bool:
    """Tell whether a run would be another one, and allowed, with settings changed.

    Args:
        config: of the run.
        changes: dotted keys and their values.
    """
    now = flatten(config.model_dump())
    if all(now[key] == value for key, value in changes.items()):
        return False
    try:
        build_config({**told_by(config), **changes})
    except UsageError:
        return False
    return True


def _acceptance(config: RunConfig) -> Callable[[Settings], bool]:
    """Return `accepts` of a run, which asks once about each change."""
    known: dict[str, bool] = {}

    def accepted(changes: Settings) -> bool:
        key = repr(sorted(changes.items()))
        if key not in known:
            known[key] = accepts(config, changes)
        return known[key]

    return accepted


def confidence_threshold(config: RunConfig) -> float | None:
    """Return the confidence that a target needs; None where no number is fixed."""
    return config.consistency.threshold if config.method in GATED else None


def passing_step(config: RunConfig, num_classes: int) -> int | None:
    """Return the first step at which annealing allows what a target needs.

    Returns:
        None where nothing is capped: no annealing, one by quota, or no threshold.
    """
    settings, wanted = config.supervised, confidence_threshold(config)
    if wanted is None or settings.tsa == "none" or settings.tsa_form == "quota":
        return None
    length = round(settings.tsa_share * config.loop.steps)
    for step in range(length):
        progress = annealing_progress(step, length=length)
        if progress is None or tsa_threshold(progress, num_classes, settings.tsa) > (
            wanted
        ):
            return step
    return length


def interplay(config: RunConfig, num_classes: int) -> str | None:
    """Say when annealing passes the threshold, and whether that is too late."""
    passes = passing_step(config, num_classes)
    if passes is None:
        return None
    start = consistency_start(config)
    text = (
        f"annealing allows the confidence {config.consistency.threshold:g} of a target "
        f"from step {passes}; the unlabelled branch starts at step {start}"
    )
    if passes <= start:
        return text
    idle = (passes - start) / config.loop.steps
    return (
        f"{text}, so it idles over {idle:.0%} of the run (shorter: --tsa-share, or "
        "--tsa log or none)"
    )


def levels(trainer: Trainer, moment: Moment) -> dict[str, float]:
    """Return what is capped and what is needed at a moment, for the log."""
    values: dict[str, float] = {}
    annealing = trainer.objective.labeled.annealing
    # By quota an image waits for its rank in its class, and no level is crossed.
    if annealing is not None and annealing.form == "quota":
        annealing = None
    if annealing is not None and moment.tsa_progress is not None:
        values[tags.TSA_THRESHOLD] = annealing.level(moment.tsa_progress)
    wanted = confidence_threshold(trainer.config)
    if wanted is not None and moment.consistency_weight > 0:
        values[tags.CONFIDENCE_THRESHOLD] = wanted
    return values
