"""torchvision transforms, v1 and v2: they are given Pillow images.

Every transform of both versions takes one, ``ToTensor`` and ``ToImage`` included.
"""

from __future__ import annotations

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8


class TorchvisionAdapter(Adapter):
    """A transform that draws from torch's global generator, or from ``random``."""

    library = "torchvision"
    takes = "Pillow image of mode L or RGB"

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Call the transform on a Pillow image."""
        del generator  # the global generators are seeded for each view
        from PIL import Image

        plane = image[:, :, 0] if image.shape[2] == 1 else image
        return self.transform(Image.fromarray(plane))
