"""Running sums of steps where an image counts for each of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from uda.data.streams import Batch
from uda.objectives.consistency.method import ConsistencyTerms
from uda.training.monitor import tags
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
        self.images = 0

    def take_labels(self, batch: Batch, terms: Terms) -> None:
        """Take in what was drawn and kept of each class."""
        shown = batch.targets.to(self.drawn.dtype)
        self.drawn[:-1] += shown.sum(0)
        self.kept[:-1] += (shown * terms.kept[:, None]).sum(0)

    def take_pseudo_labels(self, batch: Batch, found: ConsistencyTerms) -> None:
        """Take in the answers that count, by class."""
        if found.entries is None or batch.unlabeled_index is None:
            return
        named = found.entries * (found.targets > 0.5)
        self.pseudo += named.sum(0)
        self.sure += found.entries.sum(0)
        self.images += len(found.entries)
        truth = self.hidden[batch.unlabeled_index]
        known = named * (truth >= 0)
        self.known += known.sum()
        self.right += (known * (truth > 0)).sum()

    def values(self) -> dict[str, float]:
        """Return the window's means and shares."""
        found = super().values()
        if self.images:
            sure = (self.sure / self.images).tolist()
            for tag, share in zip(self.class_tags, sure, strict=True):
                found[f"{tags.MASK_RATE}/{tag}"] = share
        return found


def statistics_for(
    parts: Parts, class_tags: tuple[str, ...], device: torch.device
) -> StepStatistics:
    """Return empty running sums for a run.

    Labelled images that are also trained on as unlabelled ones tell nothing of how
    many pseudo-labels are right: their label was learned.
    """
    kind = LabelStatistics if parts.targets.ndim == 2 else StepStatistics
    hidden = parts.hidden.copy()
    hidden[parts.truly_labeled.labeled] = -1
    return kind(class_tags, device, torch.from_numpy(hidden))
