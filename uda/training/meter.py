"""How fast the steps are, and how long they wait for images."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter


@dataclass
class Meter:
    """The steps since the last report; what lies between steps is left out.

    Attributes:
        seconds: that the steps took.
        images: views that they were made of.
        waited: seconds of these in which no batch was there.
    """

    seconds: float = 0.0
    images: int = 0
    waited: float = 0.0
    _mark: float = field(default_factory=lambda: perf_counter())
    _waited_before: float = 0.0

    def leave_out(self) -> None:
        """Go on from now: an evaluation and a report are no part of a step."""
        self._mark = perf_counter()

    def lap(self, images: int, waited_total: float) -> None:
        """Count a step that has just ended.

        Args:
            images: views that it was made of.
            waited_total: seconds waited since the training began.
        """
        now = perf_counter()
        self.seconds += now - self._mark
        self.images += images
        self.waited += waited_total - self._waited_before
        self._mark, self._waited_before = now, waited_total

    @property
    def images_per_second(self) -> float:
        """Images per second since the last report."""
        return self.images / max(1e-9, self.seconds)

    @property
    def waiting_share(self) -> float:
        """The share of the steps' time that went into waiting, from 0 to 1."""
        return self.waited / max(1e-9, self.seconds)

    def reset(self) -> None:
        """Begin a new report."""
        self.seconds, self.images, self.waited = 0.0, 0, 0.0
        self.leave_out()
