"""AlarmBook: runs all checks as a run goes on, and tells each alarm once."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from uda.training.monitor import tags
from uda.training.monitor.alarms import CHECKS, Alarm, Check, Point
from uda.training.monitor.facts import Facts

_EVALUATIONS = 50  # remembered; each comes twice, for raw and averaged weights
# Told where they change, in one line of many: they hold until they are told again.
_LASTING = (tags.TEXTURE_ALONE,)


class AlarmBook:
    """Run all checks on the latest scalars; remember which alarms are on."""

    def __init__(self, facts: Facts, checks: Sequence[Check] = CHECKS) -> None:
        """Watch a run with these facts."""
        self.facts = facts
        self._checks = tuple(checks)
        self._history: deque[Point] = deque()
        self._evaluations: deque[Point] = deque(maxlen=_EVALUATIONS)
        self._active: dict[str, Alarm] = {}
        self._lasting: dict[str, float] = {}

    @property
    def active(self) -> tuple[Alarm, ...]:
        """The alarms that are on, in the order in which they went on.

        The words are those of the moment when the alarm went on.
        """
        return tuple(self._active.values())

    def expect(self, prior: tuple[float, ...]) -> None:
        """Take in the mix of the unlabelled images, known only during the run."""
        self.facts = replace(self.facts, unlabeled_prior=prior)

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """Take in an evaluation; the checks of the next step see it."""
        self._evaluations.append(Point(step, dict(values)))

    def observe(self, step: int, values: Mapping[str, float]) -> list[Alarm]:
        """Take in one step's scalars; return the alarms that just went on.

        Steps that follow closely are passed over: twenty points make a window,
        and the checks must cost nothing beside a step.
        """
        self._lasting |= {tag: values[tag] for tag in _LASTING if tag in values}
        if self._history and step - self._history[-1].step < self.facts.window // 20:
            return []
        self._history.append(Point(step, {**self._lasting, **values}))
        while step - self._history[0].step > 2 * self.facts.window:
            self._history.popleft()
        points = [*self._evaluations, *self._history]
        history = tuple(sorted(points, key=lambda point: point.step))
        found = {
            alarm.key: alarm
            for check in self._checks
            for alarm in check(history, self.facts)
        }
        new = [alarm for key, alarm in found.items() if key not in self._active]
        kept = {key: old for key, old in self._active.items() if key in found}
        self._active = kept | {alarm.key: alarm for alarm in new}
        return new
