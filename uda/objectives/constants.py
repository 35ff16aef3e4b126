"""Numbers that never change, as tensors that are made once for each device.

Made anew in a step they would be copied from the host, and the device waits for that.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=4096)
def constant(
    values: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return values as a tensor; it is shared, so nobody may write into it."""
    return torch.tensor(values, dtype=dtype, device=device)


def columns(table: Tensor, numbers: tuple[int, ...]) -> Tensor:
    """Return ``table[:, numbers]``: some columns of an (N, C) table."""
    return table[:, constant(numbers, torch.int64, table.device)]
