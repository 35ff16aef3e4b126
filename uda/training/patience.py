"""Early stopping: when to stop, and which evaluation's weights to hand over.

The metric is that of the averaged weights on the validation part. s_k, the mean of
the last three evaluations, smooths it; e_k is the standard error of the k-th.

1. Hand-over (one-standard-error rule): the earliest k with s_k >= max_j (s_j - e_j).
   What is better by less than the validation part can show is not better.
2. Stop once ``patience`` evaluations have brought no new largest s.

Evaluations count from the step at which all that was planned is on: the unlabelled
branch at full weight, late class weights, the images at their final size, and a frozen
trunk set free. Nothing is remembered beside
metrics.jsonl and the weights of the evaluations that may yet be handed over: those
are new largest ones, since an earlier one that is as good would be taken instead.
Source of the rule: Breiman, Friedman, Olshen and Stone, "Classification and
Regression Trees", 1984, section 3.4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from uda.errors import UsageError
from uda.evaluation.rates import rates
from uda.rng import generator
from uda.run.bundle import save_weights, serve_instead
from uda.run.layout import read_metrics
from uda.training.config import RunConfig
from uda.training.schedules import consistency_start, size_starts
from uda.training.served import clean

if TYPE_CHECKING:
    from uda.training.prepare import Parts
    from uda.training.trainer import Trainer

SMOOTHED_OVER = 3
DRAWS = 400
# A validation part that cannot tell this much apart is too small to stop by.
LARGE_ERROR = 0.05
_ERROR = "val_ema/standard_error"


class Seen(NamedTuple):
    """One evaluation: its step, the metric and the metric's standard error."""

    step: int
    value: float
    error: float


@dataclass(frozen=True)
class Verdict:
    """What some evaluations say.

    Attributes:
        chosen: step of the evaluation to hand over.
        best: step of the largest smoothed metric.
        waited: evaluations since then.
        kept: steps whose weights may yet be handed over, in order.
    """

    chosen: int
    best: int
    waited: int
    kept: tuple[int, ...]


def judge(seen: Sequence[Seen]) -> Verdict | None:
    """Apply both rules to evaluations in order; None while there are under three."""
    if len(seen) < SMOOTHED_OVER:
        return None
    values = np.array([one.value for one in seen])
    smoothed = np.convolve(values, np.full(SMOOTHED_OVER, 1 / SMOOTHED_OVER), "valid")
    seen = seen[SMOOTHED_OVER - 1 :]
    bar = max(s - one.error for s, one in zip(smoothed, seen, strict=True))
    kept, highest, best = [], -np.inf, 0
    for place, value in enumerate(smoothed):
        if value > highest:
            highest, best = value, place
            if value >= bar:
                kept.append(seen[place].step)
    return Verdict(kept[0], seen[best].step, len(seen) - 1 - best, tuple(kept))


def standard_error(
    counts: npt.NDArray[Any], metric: str, *, seed: int, step: int
) -> float:
    """Return the standard error of a metric, by redrawing each class's images.

    Images count as independent. One right of one is not certainty: each class gets
    one more right answer and one more wrong one, as Laplace did.

    Args:
        counts: (C, C) images by true class (row) and predicted class.
        metric: a key of ``rates``.
        seed: of the run.
        step: of the evaluation.
    """
    num_classes = len(counts)
    extra = np.full((num_classes, num_classes), 1 / (num_classes - 1))
    np.fill_diagonal(extra, 1.0)
    likely = (counts + extra) / (counts.sum(1, keepdims=True) + 2)
    draw = generator(seed, "patience", step)
    redrawn = [
        draw.multinomial(int(row.sum()), chances, size=DRAWS)
        for row, chances in zip(counts, likely, strict=True)
    ]
    return float(np.std(rates(np.stack(redrawn, axis=1))[metric]))


def counts_from(config: RunConfig, trust: float = 1.0) -> int:
    """Return the step after which evaluations count: all that is planned is on."""
    steps, settings = config.loop.steps, config.supervised
    first = max(size_starts(config)[-1], config.model.frozen_steps or 0)
    if settings.class_weights != "none":
        first = max(first, round(settings.reweight_from * steps))
    if config.semi_supervised and trust > 0:
        ramp = round(config.consistency.ramp_share * steps)
        first = max(first, consistency_start(config) + ramp)
    return first


def refuse_nothing_to_look_at(config: RunConfig, num_validation: int) -> None:
    """Refuse patience without validation images.

    Raises:
        UsageError: says so.
    """
    if config.loop.patience is not None and num_validation == 0:
        raise UsageError(
            "--patience: there is no validation part; split with --validation, or "
            "leave it out"
        )


def check(config: RunConfig, parts: Parts) -> None:
    """Refuse patience with nothing to look at.

    Raises:
        UsageError: no validation part, or fewer than three evaluations count.
    """
    loop = config.loop
    if loop.patience is None:
        return
    refuse_nothing_to_look_at(config, len(parts.validation))
    every, first = loop.eval_every or loop.steps, counts_from(config)
    if loop.steps // every - first // every < SMOOTHED_OVER:
        raise UsageError(
            f"--patience: fewer than {SMOOTHED_OVER} evaluations after step {first} "
            f"(by then all is on that was planned: size of images, a frozen trunk set "
            f"free, late class weights, the unlabelled branch) of {loop.steps}; give a "
            "smaller --eval-every or train longer"
        )


def look(trainer: Trainer) -> bool:
    """Take in the newest evaluation; tell whether patience is at its end."""
    if trainer.config.loop.patience is None:
        return False
    seen = _history(trainer)
    if len(seen) == 1:
        _tell_small(trainer, seen[0])
    verdict = judge(seen)
    if verdict is None:
        return False
    step = trainer.state.step
    if step in verdict.kept:
        model = clean(trainer, trainer.state.ema.model)
        save_weights(trainer.run.weights, _name(step), model)
    _remove(trainer, keep=verdict.kept)
    return verdict.waited >= trainer.config.loop.patience


def is_over(trainer: Trainer) -> bool:
    """Tell whether a resumed run had stopped already."""
    limit, seen = trainer.config.loop.patience, _history(trainer)
    if limit is None or not seen or seen[-1].step != trainer.state.step:
        return False
    verdict = judge(seen)
    return verdict is not None and verdict.waited >= limit


def hand_over(trainer: Trainer, metrics: dict[str, float]) -> dict[str, float]:
    """Replace final averaged weights by those of the chosen evaluation.

    Returns:
        The metrics of what is handed over.
    """
    verdict = judge(_history(trainer))
    if verdict is None:
        return metrics
    step, folder = trainer.state.step, trainer.run.weights
    # A machine that does not repeat itself to the bit may have removed the choice
    # in a first attempt; then the next one is as good as the rule can have it.
    there = [
        one
        for one in verdict.kept
        if one == step or (folder / f"{_name(one)}.safetensors.sha256").is_file()
    ]
    chosen = there[0] if there else step
    if chosen != step:
        serve_instead(folder, _name(chosen))
    trainer.run.update_status("running", stopped=step, best=verdict.best, chosen=chosen)
    text = (
        f"early stopping: best smoothed {trainer.config.loop.stop_metric} at step "
        f"{verdict.best}, stopped at {step}; hands over step {chosen}, the "
        "earliest within one standard error of the best"
    )
    trainer.writer.console.note(text)
    trainer.writer.text("early stopping", text, step)
    return metrics | metrics_at(trainer, chosen, "val_ema/")


def metrics_at(trainer: Trainer, step: int, prefix: str = "val") -> dict[str, float]:
    """Return what an evaluation wrote, without the recall of each class."""
    found: dict[str, float] = {}
    for row in read_metrics(trainer.run.metrics):
        if row["step"] == step:
            found |= {
                key: value
                for key, value in row.items()
                if key.startswith(prefix) and key.count("/") == 1
            }
    return found


def clear(trainer: Trainer) -> None:
    """Remove the weights that were kept for a choice; the run has ended."""
    if trainer.config.loop.patience is not None:
        _remove(trainer, keep=())


def _history(trainer: Trainer) -> list[Seen]:
    """Read the evaluations that count, in order, each step once."""
    config = trainer.config
    if config.loop.patience is None:
        return []
    tag, first = f"val_ema/{config.loop.stop_metric}", counts_from(config)
    if trainer.trust == 0:
        first = counts_from(config, 0.0)
    found = {
        int(row["step"]): Seen(int(row["step"]), float(row[tag]), float(row[_ERROR]))
        for row in read_metrics(trainer.run.metrics)
        if tag in row and first < row["step"] <= trainer.state.step
    }
    return [found[step] for step in sorted(found)]


def _tell_small(trainer: Trainer, first: Seen) -> None:
    if first.error <= LARGE_ERROR:
        return
    targets = trainer.parts.validation_targets
    least = int(np.bincount(targets, minlength=len(trainer.parts.classes)).min())
    trainer.writer.console.warn(
        f"{len(targets)} validation images, {least} of the rarest class: they tell "
        f"models apart whose {trainer.config.loop.stop_metric} differs by about "
        f"{2 * first.error:.2f} or more, so early stopping will follow chance. "
        "Validate on more images, or leave --patience out and train to the end"
    )


def _name(step: int) -> str:
    return f"candidate-{step:08d}"


def _remove(trainer: Trainer, *, keep: Sequence[int]) -> None:
    names = {_name(step) for step in keep}
    for path in trainer.run.weights.glob("candidate-*.safetensors*"):
        if path.name.split(".")[0] not in names:
            path.unlink(missing_ok=True)
