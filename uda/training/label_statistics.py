"""Running sums of steps where an image counts for each of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uda.data.streams import Batch
from uda.objectives.consistency.method import ConsistencyTerms
from uda.training.monitor import tags
from uda.training.objective import labeled_rows
from uda.training.statistics import StepStatistics
from uda.training.step import Terms

if TYPE_CHECKING:
    from uda.training.prepare import Parts


class LabelStatistics(StepStatistics):
    """Running sums where an image counts for each of its classes.

    Beside the mask rate it tells each class's: on how many images the teacher is sure
    of it, either way. A pseudo-label is a yes; it is right where that is true.
    """

    def reset(self) -> None:
        """Start a new window."""
        super().reset()
        self.sure = torch.zeros(len(self.class_tags), device=self.device)
        self.images = torch.zeros((), device=self.device)

    def take_labels(self, batch: Batch, terms: Terms) -> None:
        """Take in what was drawn and kept of each class."""
        shown = batch.targets.to(self.drawn.dtype)
        self.drawn[:-1] += shown.sum(0)
        self.kept[:-1] += (shown * terms.kept[:, None]).sum(0)

    def take_pseudo_labels(
        self, found: ConsistencyTerms, truth: Tensor, counted: Tensor
    ) -> None:
        """Take in the answers that count, by class; ``truth`` is (U, C)."""
        if found.entries is None:
            return
        sure = counted[:, None] * found.entries
        named = sure * (found.targets > 0.5)
        self.pseudo += named.sum(0)
        self.sure += sure.sum(0)
        self.images += counted.sum()
        known = named * (truth >= 0)
        self.known += known.sum()
        self.right += (known * (truth > 0)).sum()

    def values(self) -> dict[str, float]:
        """Return the window's means and shares."""
        found = super().values()
        if float(self.images):
            sure = (self.sure / self.images).tolist()
            for tag, share in zip(self.class_tags, sure, strict=True):
                found[f"{tags.MASK_RATE}/{tag}"] = share
        return found


def statistics_for(
    parts: Parts, class_tags: tuple[str, ...], device: torch.device
) -> StepStatistics:
    """Return empty running sums for a run."""
    kind = LabelStatistics if parts.targets.ndim == 2 else StepStatistics
    hidden = torch.from_numpy(parts.hidden)
    return kind(class_tags, device, hidden, labeled_rows(parts, device))
