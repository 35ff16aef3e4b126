"""What does not change during a run, and what it could do otherwise, for its alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]
# A number other than the run's stands for every other.
THRESHOLD: Settings = {"consistency.threshold": 0.987}


@dataclass(frozen=True)
class Facts:
    """What does not change during a run.

    Attributes:
        classes: C class names.
        prior: (C,) share of each class that the labelled batches are drawn
            with; the pseudo labels are compared with it where nothing better is known.
        validation_counts: (C,) validation images per class.
        total_steps: length of the run; "for long" is a twentieth of it, within
            50 to 1,000 steps, but five lines of the log at least.
        unlabeled_prior: (C,) mix of the unlabelled images, where it is known.
        threshold: confidence that a target needs; None where there is no fixed one.
        accepts: tells whether other settings (dotted keys) would be another run and
            would be accepted; options that are not are left out of the advice.
        log_every: steps between two lines of the log.
        tsa_starts: (C,) threshold of annealing from which each class starts; 1 for
            one that never waits. Empty where all start at 1/C.
    """

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    validation_counts: tuple[int, ...]
    total_steps: int
    unlabeled_prior: tuple[float, ...] | None = None
    threshold: float | None = None
    accepts: Callable[[Settings], bool] = lambda changes: True
    log_every: int = 1
    tsa_starts: tuple[float, ...] = ()

    @property
    def window(self) -> int:
        """Steps that make up "for long"."""
        usual = min(1000, max(50, self.total_steps // 20))
        return max(usual, 5 * self.log_every)

    def tsa_thresholds(self, level: float) -> tuple[float, ...]:
        """Return each class's annealing threshold, where the published one is given."""
        even = 1 / len(self.classes)
        released = (level - even) / (1 - even)
        starts = self.tsa_starts or (even,) * len(self.classes)
        return tuple(start + (1 - start) * released for start in starts)


def one_of(facts: Facts, *options: tuple[str, Settings | None]) -> str:
    """Say in words which options there are for a run.

    Args:
        facts: of the run.
        options: each in words, with the settings that it means; None where it means
            none and is always there.

    Returns:
        ``lower --threshold, or add labels``; empty where no option is left.
    """
    words = [text for text, new in options if new is None or facts.accepts(new)]
    return ", or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def some_prior(facts: Facts) -> Settings:
    """Return settings that state a mix; any other stands for it as well."""
    even = dict.fromkeys(facts.classes, 1 / len(facts.classes))
    return {"consistency.prior": even}


def less_annealing(facts: Facts) -> str:
    """Return the flags that hold labelled images back for a shorter time, or none."""
    kinds = [
        name for name in ("log", "none") if facts.accepts({"supervised.tsa": name})
    ]
    return f"--tsa {' or '.join(kinds)}" if kinds else ""


def sentence(words: str) -> str:
    """Return words with a capital and a full stop; nothing of nothing."""
    return f"{words[0].upper()}{words[1:]}." if words else ""
