"""Losses are computed in fp32 or better, also where the network ran in bf16.

In 16 bits the logarithm of a small probability is minus infinity.
"""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(logits: Tensor) -> Tensor:
    """Return logits in fp32, or in fp64 where they already are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
