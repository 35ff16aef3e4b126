"""The numbers that advice rests on, and what a piece of advice is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from uda.data.defects import DefectSize


@dataclass(frozen=True)
class Facts:
    """The numbers that advice rests on.

    Attributes:
        counts: labelled images per class; units: independent groups per class
            to learn from.
        unlabeled: unlabelled images.
        broken: unreadable images; total: all images.
        deep: images of more than 8 bits.
        conflicts: sets of identical files that carry different labels.
        copies: files that repeat another's content.
        related: images that share their group with another.
        leaked: share of test images a random split leaks; None = not measured.
        gain: balanced accuracy that raw pixels gain by it; None = not measured.
        crossing: proved pairs across the data's own parts, by the two parts' names.
        has_groups: whether a column of groups was used.
        multi_label: whether an image may have several labels, or none.
        shift: largest distance of brightness or contrast, labelled to unlabelled;
            None where chance alone explains them.
        side: median longest side in pixels.
        defects: shorter sides of boxes per class and image size; empty = unknown.
        trained: labelled images per class that training may use: without those that
            the data itself names validation or test; None for all of ``counts``.
        tested: independent groups per class of the data's own test part; None where
            it has none.
    """

    counts: Mapping[str, int]
    units: Mapping[str, int]
    unlabeled: int = 0
    broken: int = 0
    total: int = 0
    deep: int = 0
    conflicts: int = 0
    copies: int = 0
    related: int = 0
    leaked: float | None = None
    gain: float | None = None
    crossing: Mapping[str, int] = field(default_factory=dict)
    has_groups: bool = False
    multi_label: bool = False
    shift: float | None = None
    side: float = 0.0
    defects: tuple[DefectSize, ...] = ()
    trained: Mapping[str, int] | None = None
    tested: Mapping[str, int] | None = None

    @property
    def training(self) -> Mapping[str, int]:
        """Labelled images per class that training may use."""
        return self.counts if self.trained is None else self.trained


@dataclass(frozen=True)
class Advice:
    """One thing to do.

    Attributes:
        title: what to do.
        reason: why, with the numbers.
        command: how, empty where it is work by hand.
        source: where the rule comes from.
    """

    title: str
    reason: str
    command: str
    source: str
