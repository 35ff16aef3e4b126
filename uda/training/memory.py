"""A lack of memory, wherever it shows: an error with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from uda.errors import TrainingError
from uda.training.config import RunConfig

# What torch's allocators say. Others speak of memory as well, and lack none: an illegal
# access, a layout that does not fit.
_SAID = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def memory_told(config: RunConfig, *, in_step: bool = False) -> Iterator[None]:
    """Turn a lack of memory inside the block into a `TrainingError`.

    Args:
        config: of the run.
        in_step: whether the block takes steps. What else a run does has no batch: it
            takes as many images at once as fit for their size.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(config, in_step) from error
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _SAID):
            raise
        raise _out_of_memory(config, in_step) from error


def _out_of_memory(config: RunConfig, in_step: bool) -> TrainingError:
    pixels = f"{config.data.size[0]}x{config.data.size[1]} pixels"
    batch, smaller = config.loop.batch, config.loop.batch // 2
    if in_step and smaller < 1:
        return TrainingError(
            f"memory does not suffice for --batch 1 at {pixels}; try a smaller --imgsz"
        )
    if not in_step:
        return TrainingError(
            f"memory does not suffice for images of {pixels}; try a smaller --imgsz, "
            "or fewer --threads, of which each describes images by texture"
        )
    return TrainingError(
        f"memory does not suffice for --batch {batch} at {pixels}; try --batch "
        f"{smaller} --set optimizer.accumulation={config.optimizer.accumulation * 2}, "
        "or a smaller --imgsz"
    )
