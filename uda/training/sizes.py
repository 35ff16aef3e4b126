"""Progressive sizes: a pool of images for each size, and what a change asks for.

Training walks from small to large images at fixed steps. Evaluation, the guards and
what is handed over use the last size from the start, so their numbers compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from uda.errors import UsageError
from uda.training.config import RunConfig
from uda.training.schedules import size_number, size_starts
from uda.training.teacher import statistics_rows, with_clean_statistics

if TYPE_CHECKING:
    from uda.training.prepare import Parts
    from uda.training.trainer import Trainer

UInt8 = npt.NDArray[np.uint8]
_OWN_STATISTICS = torch.nn.modules.batchnorm._BatchNorm


def check(config: RunConfig) -> None:
    """Refuse a run too short for its sizes.

    Raises:
        UsageError: naming the size that gets no step.
    """
    first = (*size_starts(config), config.loop.steps)
    for place, (height, width, share) in enumerate(config.data.sizes):
        if first[place] >= first[place + 1]:
            raise UsageError(
                f"--sizes: {share:g} of {config.loop.steps} steps leave none for "
                f"{height}x{width}; train longer or give it a larger share"
            )


def images_at(config: RunConfig, parts: Parts, step: int) -> UInt8:
    """Return the (N, H, W, K) images that a step trains on."""
    pools = (*parts.smaller, parts.pool)
    return pools[size_number(config, step)].images


def is_change(config: RunConfig, step: int) -> bool:
    """Tell whether a step is the first of a size other than the first."""
    return step in size_starts(config)[1:]


def change_size(trainer: Trainer) -> None:
    """Prepare both models for the size that begins at this step, if one does.

    Running batch-norm statistics are of the size before: averages over a map of
    another size, of blurred images. They would fade over dozens of steps (in the
    averaged model over hundreds), so both models take those of clean images of the
    new size at once. Frozen statistics, also those of a trunk that is still frozen,
    came with the weights and stay. The average of the weights starts its warm-up again
    (``Moment.ema_step``): weights learnt on another size are forgotten as fast as a
    random start is. The optimiser keeps its moments and the learning rate its schedule.
    """
    config, state = trainer.config, trainer.state
    if not is_change(config, state.step):
        return
    images = images_at(config, trainer.parts, state.step)
    height, width = images.shape[1:3]
    trainer.writer.console.note(f"step {state.step}: images are {height}x{width} now")
    frozen = state.step < (config.model.frozen_steps or 0)
    if config.loop.batch_norm == "frozen" or frozen:
        return
    rows = statistics_rows(trainer.parts.training_rows, config.seed)
    for model in (state.model, state.ema.model):
        _take_statistics(model, with_clean_statistics(model, images, rows))


def _take_statistics(model: torch.nn.Module, other: torch.nn.Module) -> None:
    """Copy the buffers of batch norm from a model of the same build."""
    for layer, source in zip(model.modules(), other.modules(), strict=True):
        if isinstance(layer, _OWN_STATISTICS) and layer is not source:
            for name, value in source.named_buffers():
                getattr(layer, name).copy_(value)
