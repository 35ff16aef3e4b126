"""What became of the boxes: kept, clipped and dropped, per class and reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from uda.augment.boxes import MovedBoxes

REASONS = {
    "outside": "moved out of the image",
    "visibility": "too little of it visible",
    "side": "too small",
    "library": "dropped by albumentations (outside, or too little visible)",
}


@dataclass
class ClassTally:
    """Boxes of one class over all copies; ``kept`` includes ``clipped``."""

    before: int = 0
    kept: int = 0
    clipped: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


class Tally:
    """Counts the boxes of all copies by class.

    Attributes:
        classes: one tally per class.
        emptied: copies that lost all the boxes their source had.
        copies: copies counted.
    """

    def __init__(self, num_classes: int) -> None:
        self.classes = [ClassTally() for _ in range(num_classes)]
        self.emptied = 0
        self.copies = 0

    def add(self, labels: Sequence[int], moved: MovedBoxes) -> None:
        """Count one copy."""
        self.copies += 1
        self.emptied += bool(labels) and not len(moved.boxes)
        for label, reason in zip(labels, moved.reasons, strict=True):
            entry = self.classes[label]
            entry.before += 1
            if reason:
                entry.dropped[reason] += 1
            else:
                entry.kept += 1
        for index, clipped in zip(
            moved.index.tolist(), moved.clipped.tolist(), strict=True
        ):
            self.classes[labels[index]].clipped += clipped

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the counts for report.json."""
        return {
            "copies": self.copies,
            "copies_that_lost_all_boxes": self.emptied,
            "classes": {
                name: {
                    "boxes": entry.before,
                    "kept": entry.kept,
                    "clipped": entry.clipped,
                    "dropped": entry.dropped,
                }
                for name, entry in zip(names, self.classes, strict=True)
            },
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Tally:
        """Read what ``as_json`` wrote."""
        tally = cls(0)
        tally.copies = int(content["copies"])
        tally.emptied = int(content["copies_that_lost_all_boxes"])
        tally.classes = [
            ClassTally(e["boxes"], e["kept"], e["clipped"], dict(e["dropped"]))
            for e in content["classes"].values()
        ]
        return tally
