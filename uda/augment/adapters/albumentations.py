"""albumentations transforms (and AlbumentationsX, which has the same names).

Each node of a pipeline owns private generators; forked workers would all repeat
the same ones. All nodes are given the generator of the view instead.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8


class AlbumentationsAdapter(Adapter):
    """A transform or a Compose."""

    library = "albumentations"

    def __init__(self, transform: Any) -> None:
        """Wrap the transform; the generator it shares is seeded for each view."""
        super().__init__(transform)
        self._random = Random()

    def seed(self, generator: np.random.Generator, transform: Any = None) -> None:
        """Let a tree draw from one generator.

        Args:
            generator: of the view.
            transform: the tree, for example this one in another Compose; None: the
                user's own.
        """
        tree = self.transform if transform is None else transform
        seed = int(generator.integers(2**31))
        share = getattr(tree, "set_random_state", None)
        if share is not None:
            self._random.seed(seed)
            share(generator, self._random)
        else:  # versions before the shared state: slower, and as repeatable
            tree.set_random_seed(seed)

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Seed the whole tree and call it."""
        self.seed(generator)
        try:
            result = self.transform(image=image)
        except ValueError as error:
            if not getattr(self.transform, "processors", None):
                raise
            raise ValueError(
                f"{error}; take bbox_params and keypoint_params out: a view is made of "
                "the image alone (uda augment boxes hands boxes over itself)"
            ) from error
        return result["image"]
