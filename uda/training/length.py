"""How long to train: epochs and minutes become steps here, once, at the edge."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from uda.cores import usable_cores
from uda.errors import UsageError
from uda.training.build import build_state, model_spec, training_device
from uda.training.config import RunConfig
from uda.training.described import describe, filling, typical_of
from uda.training.detail import default_steps, reads_texture
from uda.training.memory import memory_told
from uda.training.objective import build_objective, start_memory
from uda.training.prepare import Parts, Policies, build_stream
from uda.training.pretrain import seconds_per_step
from uda.training.schedules import consistency_start, size_starts
from uda.training.settled import settle
from uda.training.state import TrainState, to_device
from uda.training.step import FLIPS, Moment, training_step
from uda.training.teacher import WHOLE, prediction_table

PROBED_STEPS = 4


@dataclass(frozen=True)
class Length:
    """How long to train, in one of three units; none of them: the recipe's steps."""

    steps: int | None = None
    epochs: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        given = [
            f"--{name}"
            for name in ("steps", "epochs", "budget")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)}: give one of them")

    @property
    def given(self) -> bool:
        """Whether any unit was given."""
        return any(x is not None for x in (self.steps, self.epochs, self.budget))


def fix_length(config: RunConfig, length: Length, parts: Parts) -> RunConfig:
    """Resolve everything that depends on the data or the machine to plain steps."""
    steps = _steps(config, length, parts)
    threads = config.loop.threads or usable_cores()
    return settle(config.changed({"loop.threads": threads}), steps)


def _steps(config: RunConfig, length: Length, parts: Parts) -> int:
    if length.epochs is not None:
        per_step = config.loop.batch * config.optimizer.accumulation
        return max(1, math.ceil(length.epochs * len(parts.labeled) / per_step))
    if length.budget is not None:
        return steps_within(config, parts, length.budget)
    return length.steps or config.loop.steps


@dataclass(frozen=True)
class Pace:
    """What a run costs, in seconds with its evaluations and checkpoints.

    Attributes:
        step: a step of training, averaged over its phases.
        warm_start: a step of the warm start; 0 where there is none.
        before: once, to describe all images by texture; 0 where nobody reads it.
    """

    step: float
    warm_start: float
    before: float = 0.0


def steps_within(config: RunConfig, parts: Parts, seconds: float) -> int:
    """Time a few steps and return how many fit, beside all that comes before them.

    Raises:
        UsageError: describing the images and the warm start take all of it.
    """
    pace, asked = pace_of(config, parts), config.model.pretrain_steps
    first = pace.warm_start * (asked or 0)
    # Unless asked for, as many steps of warm start as of training.
    each = pace.step + (pace.warm_start if asked is None else 0.0)
    left = seconds - pace.before - first
    if left < each:
        before = [f"describing the images ({pace.before:.0f} s)"] * (pace.before > 0)
        warm = [f"{asked} steps of warm start ({first:.0f} s)"] * (first > 0)
        way_out = " or fewer --pretrain-steps" if first else ""
        raise UsageError(
            f"--budget: {seconds:.0f} s do not hold "
            f"{' and '.join([*before, *warm, f'a step ({each:.1f} s)'])}; give a "
            f"longer budget{way_out}"
        )
    return int(left / each)


def pace_of(config: RunConfig, parts: Parts) -> Pace:
    """Time a few steps of each phase of a run of ``config.loop.steps``."""
    torch.set_num_threads(config.loop.threads or usable_cores())
    device = training_device(config.loop.device)
    state = build_state(config, model_spec(config, parts), device)
    objective = build_objective(config, parts, device)
    state.objective_state = start_memory(objective, parts, device)
    stream = build_stream(config, parts, Policies.load(config))
    uniform = torch.zeros(len(parts.pool.images), len(parts.classes), device=device)
    state.objective_state |= {"teacher": uniform, "teacher_auxiliary": uniform}
    per_update, total = config.optimizer.accumulation, config.loop.steps
    start = consistency_start(config) if config.semi_supervised else total

    def cost(first: int) -> float:
        moment = Moment.at(first, config)
        times = []
        for step in range(first, first + PROBED_STEPS):
            begin = time.perf_counter()
            micro = range(step * per_update, (step + 1) * per_update)
            batches = [to_device(stream(number), device) for number in micro]
            with memory_told(config, in_step=True):
                _, norm = training_step(state, batches, config, moment, objective)
                float(norm)  # waits for an accelerator
            times.append(time.perf_counter() - begin)
        # Not the median: a busy moment must not make a run uselessly short.
        return min(times[1:])

    per_step = _averaged(cost, config, start)
    if start < total:
        per_step += (total - start) / total * _table_cost(config, parts, state)
    asked = config.model.pretrain_steps
    warm_start = 0.0
    if default_steps(config, 1) if asked is None else asked:
        warm_start = seconds_per_step(config, parts, state.model)
    # A twelfth goes to evaluations and checkpoints.
    before = _description_cost(config, parts) if reads_texture(config) else 0.0
    return Pace(per_step * 12 / 11, warm_start * 12 / 11, before)


def _averaged(cost: Callable[[int], float], config: RunConfig, start: int) -> float:
    """Average the cost of a step, given by the first one of its phase.

    Steps of one size with, or without, unlabelled images cost the same.
    """
    total = config.loop.steps
    begins = sorted({0, start, *size_starts(config)} - {total})
    ends = [*begins[1:], total]
    return sum(
        (end - first) / total * cost(first)
        for first, end in zip(begins, ends, strict=True)
    )


def _description_cost(config: RunConfig, parts: Parts) -> float:
    """Seconds that describing every image takes, from a few of them."""
    rows = parts.training_rows
    threads = config.loop.threads or usable_cores()
    # So many that all threads are busy, as they will be.
    some, num = rows[: filling(parts, threads)], len(rows) + len(parts.validation)
    begin = time.perf_counter()
    typical = typical_of(parts)
    describe(parts, some[:1], typical, threads=threads)  # what the first call loads
    loaded = time.perf_counter()
    describe(parts, some, typical, threads=threads)
    each = (time.perf_counter() - loaded) / len(some)
    return loaded - begin + each * num


def _table_cost(config: RunConfig, parts: Parts, state: TrainState) -> float:
    """Seconds per step that renewing the table of targets takes."""
    method = config.consistency
    if method.weak_pass != "table" or method.weight == 0:
        return 0.0
    rows = parts.unlabeled[:256]
    begin = time.perf_counter()
    prediction_table(
        state.ema.model,
        parts.pool.images,
        rows,
        num_classes=len(parts.classes),
        flips=FLIPS[method.teacher_flips],
    )
    seconds = time.perf_counter() - begin
    num = len(parts.unlabeled)
    if num > WHOLE:
        drawn = config.loop.batch * config.optimizer.accumulation
        num = min(num, drawn * method.unlabeled_ratio * method.refresh_steps)
    return seconds * num / len(rows) / method.refresh_steps
