"""What test-time augmentation gains: the same images with and without it, paired."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from uda.evaluation.paired import Asked, Difference, compare
from uda.evaluation.tta import Tta
from uda.evaluation.tuning import Sample


@dataclass(frozen=True)
class TtaGain:
    """The likeliest classes under some views, against those without.

    Attributes:
        label: of the views.
        views: forward passes per image.
        differences: by measure: with the views (first), without (second), and the
            interval of with minus without.
    """

    label: str
    views: int
    differences: dict[str, Difference]

    @property
    def worse(self) -> bool:
        """Tell whether the views are shown to lose balanced accuracy."""
        return self.differences["balanced_accuracy"].interval.high < 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for decision.json."""
        found = {name: asdict(entry) for name, entry in self.differences.items()}
        return {"label": self.label, "views": self.views, "gain": found}


def tta_gain(tta: Tta, under: Sample, plain: Sample, *, seed: int = 0) -> TtaGain:
    """Compare the likeliest classes of one model under some views and without.

    Nothing is fitted, so nothing has to be held out. Whole groups are drawn, the same
    for both.

    Args:
        tta: the views.
        under: answers under them.
        plain: answers without, to the same images in the same order.
        seed: of the draws.
    """
    targets, num_classes = under.targets, len(under.classes)
    images = np.bincount(targets, minlength=num_classes)
    rarest = int(np.where(images > 0, images, images.max() + 1).argmin())
    asked = Asked(
        targets,
        np.asarray(under.groups),
        np.zeros(targets.size, np.int64),
        {0: rarest},
        num_classes,
    )
    first, second = (
        np.asarray(sample.log_probs).argmax(axis=1) for sample in (under, plain)
    )
    return TtaGain(tta.label, len(tta.views), compare(asked, first, second, seed=seed))
