"""A lack of memory, wherever it shows: an error with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from uda.errors import TrainingError
from uda.training.config import RunConfig


@contextmanager
def memory_told(config: RunConfig) -> Iterator[None]:
    """Turn a lack of memory inside the block into a `TrainingError`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(config) from error
    except RuntimeError as error:
        if "memory" not in str(error).lower():
            raise
        raise _out_of_memory(config) from error


def _out_of_memory(config: RunConfig) -> TrainingError:
    smaller = max(1, config.loop.batch // 2)
    return TrainingError(
        f"memory does not suffice for --batch {config.loop.batch} at "
        f"{config.data.size[0]}x{config.data.size[1]} pixels; try --batch {smaller} "
        f"--set optimizer.accumulation={config.optimizer.accumulation * 2}, "
        "or a smaller --imgsz"
    )
