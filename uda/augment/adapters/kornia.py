"""kornia augmentations: float tensors (1, K, H, W) in 0..1, a batch of one image.

One image at a time: kornia draws the ops of RandAugment once for a whole batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8, parts_of


class KorniaAdapter(Adapter):
    """A module that draws from torch's global generator."""

    library = "kornia"
    takes = "float32 tensor (1, K, H, W) in 0..1"
    overshoot = 0.5  # what adds up beyond 0..1 is not clipped by kornia

    def __init__(self, transform: Any) -> None:
        """Wrap a module; noise, which kornia does not clip either, goes any way."""
        super().__init__(transform)
        if any("Noise" in type(part).__name__ for part in parts_of(transform)):
            self.overshoot = math.inf

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Call the module on a batch of one."""
        del generator  # the global generators are seeded for each view
        import torch

        batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255
        with torch.no_grad():
            return self.transform(batch)
