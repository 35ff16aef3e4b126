"""imgaug augmenters: arrays in, arrays out, one shared generator.

Seeding imgaug's own way costs milliseconds per image; here all augmenters of a
tree share one generator object, and that is exchanged for each view.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8


class ImgaugAdapter(Adapter):
    """An augmenter."""

    library = "imgaug"

    def __init__(self, transform: Any) -> None:
        """Give all augmenters of the tree one generator in common."""
        super().__init__(transform)
        seeds = sys.modules["imgaug.random"]
        self._shared = seeds.RNG(1)
        # Parameters of some augmenters draw from the library's global one.
        self._global = seeds.get_global_rng()
        for augmenter in (transform, *transform.get_all_children(flat=True)):
            augmenter.random_state = self._shared
            augmenter.deterministic = False

    def seed(self, generator: np.random.Generator) -> None:
        """Exchange the generator that the whole tree draws from."""
        self._shared.generator = self._global.generator = generator

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Exchange the generator and call the augmenter."""
        self.seed(generator)
        return self.transform.augment_image(image)
