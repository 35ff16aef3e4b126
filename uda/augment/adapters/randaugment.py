"""The randaugment package: Pillow images in colour, whatever the data are.

Its ops fail on grey images; that numpy has lost names it uses is ``oldnumpy``'s
affair.
"""

from __future__ import annotations

import numpy as np

from uda.augment.adapters.base import Adapter, UInt8


class RandaugmentAdapter(Adapter):
    """A policy that draws from ``random`` and ``numpy.random``."""

    library = "randaugment"
    channels = (3,)
    takes = "Pillow image of mode RGB"

    def view(self, image: UInt8, generator: np.random.Generator) -> object:
        """Call the policy on a Pillow image."""
        del generator  # the global generators are seeded for each view
        from PIL import Image

        return self.transform(Image.fromarray(image))

    def name_of(self, op: object, line: str) -> str:
        """Name which of a sub-policy's two ops was running."""
        for which in ("1", "2"):
            if f"self.operation{which}(" in line:
                return str(getattr(op, f"_operation{which}_name", type(op).__name__))
        return type(op).__name__
