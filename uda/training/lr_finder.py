"""Learning-rate range test: the rate rises from step to step, the loss tells.

Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017;
the two suggestions are fastai's. A model of its own is trained and thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from uda.cores import usable_cores
from uda.errors import UsageError
from uda.files import atomic_write, write_csv
from uda.models.seeding import draws_at_random, seeded
from uda.training.build import build_state, model_spec, training_device
from uda.training.config import RunConfig
from uda.training.length import Length, fix_length
from uda.training.memory import memory_told
from uda.training.objective import build_objective, start_memory
from uda.training.prepare import Parts, Policies, build_stream
from uda.training.state import to_device
from uda.training.step import Moment, training_step

Progress = Callable[[str, int, int], None]

LOWEST, HIGHEST = 1e-7, 10.0
SMOOTHING = 0.9
# The test ends where the smoothed loss is so many times the lowest one.
DIVERGED = 4.0
# What a range test has no use for: it sets the rates itself, ends before anything is
# measured or averaged, and sees labelled images alone, each from the first step on.
_IDLE = frozenset(
    (
        *("optimizer.lr", "optimizer.schedule", "optimizer.warmup_steps"),
        *("loop.eval_every", "loop.save_every", "loop.log_every", "loop.patience"),
        *("loop.stop_metric", "loop.keep_checkpoints", "loop.ema_decay"),
        *("loop.ema_warmup", "loop.clean_statistics"),
        *("model.pretrain_steps", "model.frozen_steps", "views.weak", "views.strong"),
        *("supervised.tsa", "supervised.tsa_share", "supervised.tsa_form"),
        *("supervised.tsa_exempt_below", "supervised.min_share"),
    )
)
# Steps at the beginning whose average rests on too few losses to have a slope.
_UNSETTLED = 0.1


@dataclass
class RangeTest:
    """The losses of a range test.

    Attributes:
        rates: learning rate of each step, rising exponentially.
        losses: loss before the update of each step.
        smoothed: their exponential mean, divided by 1 - smoothing^n (bias
            correction).
        diverged: whether the test ended before its last step.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    diverged: bool = False

    @property
    def steepest(self) -> float | None:
        """Return the rate of the steepest descent of the smoothed loss, if any."""
        settled = int(_UNSETTLED * len(self.rates))
        end = int(np.argmin(self.smoothed)) + 1 if self.smoothed else 0
        if end - settled < 3:
            return None
        slope = np.gradient(np.array(self.smoothed[settled:end]))
        if slope.min() >= 0:
            return None
        return self.rates[settled + int(slope.argmin())]

    @property
    def tenth_of_lowest(self) -> float | None:
        """Return a tenth of the rate where the smoothed loss is lowest, if it fell."""
        if self.steepest is None:
            return None
        return self.rates[int(np.argmin(self.smoothed))] / 10

    def save(self, folder: Path) -> None:
        """Write ``lr.csv`` and ``lr.png``."""
        write_csv(
            folder / "lr.csv",
            ("learning rate", "loss", "smoothed"),
            zip(self.rates, self.losses, self.smoothed, strict=True),
        )
        atomic_write(folder / "lr.png", draw(self))


def range_test(
    step: Callable[[float, int], float],
    *,
    steps: int = 100,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    progress: Progress | None = None,
) -> RangeTest:
    """Raise the learning rate exponentially and watch the loss.

    Args:
        step: (learning rate, number) -> loss before that update.
        steps: from the lowest to the highest rate.
        lowest: first rate.
        highest: last rate.
        progress: called with ("lr-find", done, steps).
    """
    found, mean, lowest_loss = RangeTest(), 0.0, math.inf
    for number in range(steps):
        rate = lowest * (highest / lowest) ** (number / max(1, steps - 1))
        loss = step(rate, number)
        if not math.isfinite(loss):
            found.diverged = True
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (number + 1))
        found.rates.append(rate)
        found.losses.append(loss)
        found.smoothed.append(smoothed)
        if progress is not None:
            progress("lr-find", number + 1, steps)
        lowest_loss = min(lowest_loss, smoothed)
        if smoothed > DIVERGED * lowest_loss:
            found.diverged = number + 1 < steps
            break
    return found


def find_learning_rate(
    config: RunConfig, parts: Parts, *, steps: int = 100, progress: Progress | None
) -> RangeTest:
    """Test learning rates on the supervised loss of a run that is to be.

    The model, the batches and the optimiser are those of the run, from its seed; but
    there is no warm start on texture (give one with ``uda pretrain`` and --weights).
    Annealing, which leaves images out as they are learnt, is off, and so is the
    frozen phase of fine-tuning; sizes are the final one.

    Raises:
        UsageError: for a method without a learning rate.
    """
    config, parts = supervised_part(config), replace(parts, smaller=())
    config = fix_length(config, Length(steps=steps), parts)
    torch.set_num_threads(config.loop.threads or usable_cores())
    device = training_device(config.loop.device)
    state = build_state(config, model_spec(config, parts), device)
    objective = build_objective(config, parts, device)
    state.objective_state = start_memory(objective, parts, device)
    stream = build_stream(config, parts, Policies.load(config))
    at_random, micro = draws_at_random(state.model), config.optimizer.accumulation

    def step(rate: float, number: int) -> float:
        moment = Moment(rate / config.optimizer.lr, 0.0, None)
        numbers = range(number * micro, (number + 1) * micro)
        batches = [to_device(stream(n), device) for n in numbers]
        draws = seeded(config.seed, "dropout", number) if at_random else nullcontext()
        with draws, memory_told(config, in_step=True):
            terms, _ = training_step(state, batches, config, moment, objective)
        return sum(float(one.total.detach()) for one in terms) / len(terms)

    return range_test(step, steps=steps, progress=progress)


def refuse_idle(given: Iterable[str]) -> None:
    """Refuse settings that cannot change a range test.

    Args:
        given: dotted keys of flags and ``--set``; of a file of settings the others
            are meant.

    Raises:
        UsageError: names them.
    """
    idle = sorted(k for k in given if k in _IDLE or k.startswith("consistency."))
    if idle:
        raise UsageError(
            f"{', '.join(idle)}: no effect on a range test, which tries its own rates "
            "on labelled images alone; leave it out here and give it to uda train"
        )


def supervised_part(config: RunConfig) -> RunConfig:
    """Return the run without unlabelled images and smaller sizes.

    Raises:
        UsageError: for a method without a learning rate.
    """
    if config.method == "texture":
        raise UsageError(
            "--method texture has no learning rate; leave it out, or name a method "
            "that trains a network"
        )
    return config.changed({"method": "supervised", "data.sizes": ()})


def draw(found: RangeTest) -> bytes:
    """Return the losses over the rates as a PNG file, suggestions marked."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(found.rates, found.losses, color="0.75", lw=1, label="loss of a batch")
    axes.plot(found.rates, found.smoothed, color="C0", lw=2, label="smoothed")
    for name, rate, color in (
        ("lowest / 10", found.tenth_of_lowest, "C3"),
        ("steepest descent", found.steepest, "C2"),
    ):
        if rate is not None:
            axes.axvline(rate, color=color, ls="--", label=f"{name}: {rate:.2g}")
    axes.set_xscale("log")
    if found.smoothed:
        top = max(found.smoothed[0], min(found.smoothed)) * 1.6
        axes.set_ylim(0, max(top, 1e-9))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("supervised loss")
    axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
