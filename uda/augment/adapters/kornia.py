"""kornia augmentations: float tensors (1, K, H, W) in 0..1, a batch of one image.

One image at a time: kornia draws the ops of RandAugment once for a whole batch.
"""

from __future__ import annotations

import math

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8


class KorniaAdapter(Adapter):
    """A module that draws from torch's global generator."""

    library = "kornia"
    takes = "float32 tensor (1, K, H, W) in 0..1"
    # It takes and gives 0..1 and clips no noise, which may go any way beyond.
    overshoot = math.inf

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Call the module on a batch of one."""
        del generator  # the global generators are seeded for each view
        import torch

        batch = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255
        with torch.no_grad():
            return self.transform(batch)
