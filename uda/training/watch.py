"""Watches the unlabelled branch while it works, and takes weight off it.

The rule, stated in the log, in TensorBoard and in status.json: whenever the table of
targets is renewed (without a table, at every evaluation), the teacher answers the
validation part. Where its
balanced accuracy lies more than one standard error below that of the supervised
warm start, that is a strike; each strike in a row halves the weight of the branch,
the third switches it off. A teacher that recovers gets the full weight back, unless
the branch is off.

Beside it, what needs no labels at all: the share of targets whose class changed, the
mean entropy, and how far the mix of classes has moved since the branch began.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uda.training.guard import say
from uda.training.multilabel import label_health
from uda.training.schedules import consistency_start
from uda.training.teacher import Rows

if TYPE_CHECKING:
    from uda.training.trainer import Trainer

STRIKES_UNTIL_OFF = 3
STRIKES, START = "guard/strikes", "guard/start_histogram"


def factor(memory: dict[str, Tensor]) -> float:
    """Return what the unlabelled weight is multiplied by: 1, 1/2, 1/4 or 0."""
    strikes = int(memory[STRIKES]) if STRIKES in memory else 0
    return 0.0 if strikes >= STRIKES_UNTIL_OFF else 0.5**strikes


def look(
    trainer: Trainer, accuracy: float | None, table: Tensor, renewed: Rows
) -> None:
    """Compare a fresh table with the one before it, and judge its teacher.

    Args:
        trainer: the run, before the table is taken over.
        accuracy: the teacher's on the validation part; None where there is none.
        table: (N, C) fresh log-probabilities by pool row.
        renewed: (n,) rows that are fresh. Where that is not all of them, few have been
            asked twice in a row, and nothing is said of flips.
    """
    memory = trainer.state.objective_state
    rows = torch.from_numpy(renewed).to(table.device)
    whole = len(renewed) == len(trainer.parts.unlabeled)
    before = memory["teacher"][rows] if "teacher" in memory and whole else None
    several = trainer.parts.targets.ndim == 2
    health = label_health if several else table_health
    values, histogram = health(table[rows], before, memory.get(START))
    memory.setdefault(START, histogram)
    if accuracy is not None:
        values |= _judge(trainer, accuracy)
    trainer.health |= values  # told with the next line of the log


def look_without_table(trainer: Trainer, metrics: dict[str, float]) -> None:
    """Judge the averaged network at an evaluation, where no table is ever renewed.

    Args:
        trainer: the run.
        metrics: of the evaluation; ``val_ema/balanced_accuracy`` is looked at.
    """
    config = trainer.config
    accuracy = metrics.get("val_ema/balanced_accuracy")
    if not config.semi_supervised or config.consistency.weak_pass == "table":
        return
    if accuracy is not None and trainer.state.step > consistency_start(config):
        trainer.writer.scalars(trainer.state.step, _judge(trainer, accuracy))


def table_health(
    table: Tensor, before: Tensor | None, start: Tensor | None
) -> tuple[dict[str, float], Tensor]:
    """Describe a table of targets without labels; undecided rows are left out.

    Args:
        table: (m, C) log-probabilities of the unlabelled images.
        before: the same, one renewal earlier, or None.
        start: (C,) shares of the classes when the branch began, or None.

    Returns:
        tags and values, and the (C,) shares of the classes now.
    """
    classes, decided = table.argmax(1), _decided(table)
    counts = torch.bincount(classes[decided], minlength=table.shape[1]).double()
    shares = counts / counts.sum().clamp(min=1)
    probs = table.double().softmax(1)
    entropy = -torch.xlogy(probs, probs).sum(1).mean()
    values = {"unlabeled/target_entropy[nats]": float(entropy)}
    if before is not None:
        both = decided & _decided(before)
        flips = (classes != before.argmax(1))[both].double().sum()
        values["unlabeled/target_flips"] = float(flips / both.sum().clamp(min=1))
    if start is not None:
        drift = 0.5 * (shares - start.to(shares)).abs().sum()
        values["unlabeled/mix_drift"] = float(drift)
    return values, shares


def _decided(table: Tensor) -> Tensor:
    """Return (m,) whether a row names a class: no opinion is uniform."""
    return table.amax(1) > -math.log(table.shape[1]) + 1e-6


def _judge(trainer: Trainer, found: float) -> dict[str, float]:
    memory, status = trainer.state.objective_state, trainer.run.read_status()
    warm = status.get("warm_start")
    values = {"unlabeled/teacher_accuracy": found}
    if warm is None:  # the branch works from the first step: nothing to compare with
        return values
    strikes = int(memory[STRIKES]) if STRIKES in memory else 0
    limit = warm["balanced_accuracy"] - warm["standard_error"]
    after = next_strikes(strikes, worse=found < limit)
    memory[STRIKES] = torch.tensor(after)
    if after != strikes:
        _tell(trainer, after, found, limit)
    return values | {"unlabeled/guard_factor": factor(memory)}


def next_strikes(strikes: int, *, worse: bool) -> int:
    """Return the strikes after one more look; once off, the branch stays off."""
    if strikes >= STRIKES_UNTIL_OFF:
        return strikes
    return strikes + 1 if worse else 0


def _tell(trainer: Trainer, strikes: int, found: float, limit: float) -> None:
    part = factor(trainer.state.objective_state)
    trainer.run.update_status("running", guard_factor=part)
    if strikes == 0:
        say(
            trainer,
            f"the averaged network has recovered ({found:.3f}): full unlabelled weight",
        )
        return
    what = f"gets {part:.0%} of its weight" if part else "is switched off for good"
    say(
        trainer,
        f"the averaged network is worse on validation ({found:.3f}) than the warm "
        f"start less its standard error ({limit:.3f}), {strikes} times in a row; the "
        f"unlabelled branch {what}",
    )
