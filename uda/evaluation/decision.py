"""DecisionRule: from a model's log-probabilities to what is done with a part.

In this order: temperature, expected costs, bias per class, escape limit, unsure lane.
The last two use the model's own probabilities, as their guarantees need a score that
was not fitted on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from uda.evaluation import conformal
from uda.evaluation.calibration import scaled
from uda.evaluation.conformal import UnsureLane
from uda.evaluation.costs import (
    Costs,
    costs_from_json,
    costs_to_json,
    expected_costs,
)
from uda.evaluation.escape import EscapeLimit, Guarantee, log_odds
from uda.evaluation.tta import NONE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
UNSURE = "unsure"  # what the lane calls a part that goes to a person


@dataclass(frozen=True)
class DecisionRule:
    """How answers follow from log-probabilities; as it stands, the likeliest class.

    Attributes:
        classes: (C,) names, in the order of the columns.
        temperature: what log-probabilities are divided by.
        bias: (C,) added to the utilities (nats; with costs their unit); empty for 0.
        costs: (C, C) by true class and answer; empty for equal ones.
        escape: when a part may pass as good.
        lane: when an answer stands.
        tta: label of the test-time augmentation of the answers that it was fitted
            on; its numbers mean nothing for others.
    """

    classes: tuple[str, ...]
    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    costs: Costs = ()
    escape: EscapeLimit | None = None
    lane: UnsureLane | None = None
    tta: str = NONE

    def log_probs(self, log_probs: npt.NDArray[Any]) -> Floats:
        """Return (N, C) calibrated log-probabilities."""
        return scaled(log_probs, self.temperature)

    def utilities(self, log_probs: npt.NDArray[Any]) -> Floats:
        """Return (N, C) what each answer is worth before the bias.

        Log-probabilities, or minus the expected costs. Under an escape limit the good
        class is worth plus or minus infinity: it is no matter of the other classes.
        """
        values = self.log_probs(log_probs)
        if self.costs:
            values = -expected_costs(np.exp(values), self.costs)
        if self.escape is not None:
            good = self.classes.index(self.escape.good_class)
            passed = log_odds(log_probs, good) < self.escape.threshold
            values[:, good] = np.where(passed, np.inf, -np.inf)
        return values

    def answers(self, log_probs: npt.NDArray[Any]) -> Ints:
        """Return (N,) classes, as if there were no unsure lane."""
        values = self.utilities(log_probs)
        if self.bias:
            values = values + np.asarray(self.bias)
        return np.asarray(values.argmax(axis=1), dtype=np.int64)

    def unsure(self, log_probs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return (N,) which parts go to a person; none without the lane."""
        if self.lane is None:
            return np.zeros(len(log_probs), dtype=np.bool_)
        sets = conformal.prediction_sets(log_probs, self.lane.limits)
        name = self.lane.good_class
        good = None if name is None else self.classes.index(name)
        return conformal.unsure(sets, self.answers(log_probs), good)

    def words(self) -> str:
        """Return what the rule does, in one line."""
        parts = []
        if self.temperature != 1:
            parts.append(f"temperature {self.temperature:.2f}")
        if self.costs:
            parts.append("least expected cost")
        if self.bias:
            parts.append("bias per class")
        if self.escape is not None:
            kind = "certified" if self.escape.certified else "not certified"
            parts.append(f"escape at most {self.escape.max_escape:g} ({kind})")
        if self.lane is not None:
            parts.append(f"unsure lane at coverage {self.lane.coverage:g}")
        if self.tta != NONE:
            parts = [*(parts or ["the likeliest class"]), f"under TTA {self.tta}"]
        return ", ".join(parts) or "the likeliest class"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, by class name where they are per class."""
        lane = None
        if self.lane is not None:
            by_class = zip(
                self.classes, self.lane.limits, self.lane.promised, strict=True
            )
            lane = {
                "coverage": self.lane.coverage,
                "good_class": self.lane.good_class,
                "classes": {
                    name: {"limit": limit, "promised": promised}
                    for name, limit, promised in by_class
                },
            }
        return {
            "classes": list(self.classes),
            "temperature": self.temperature,
            "bias": dict(zip(self.classes, self.bias, strict=True))
            if self.bias
            else {},
            "costs": costs_to_json(self.costs, self.classes) if self.costs else {},
            "escape": None if self.escape is None else asdict(self.escape),
            "unsure": lane,
            # Left out of most: files of before there was any say the same.
            **({} if self.tta == NONE else {"tta": self.tta}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DecisionRule:
        """Return what `to_json` made plain.

        Raises:
            KeyError, TypeError, ValueError: it is not such a thing.
        """
        classes = tuple(str(name) for name in value["classes"])
        bias = value["bias"]
        temperature = float(value["temperature"])
        if not temperature > 0:
            raise ValueError(f"temperature {temperature:g}")
        return cls(
            classes,
            temperature,
            tuple(float(bias[name]) for name in classes) if bias else (),
            costs_from_json(value["costs"], classes),
            _escape(value["escape"], classes),
            _lane(value["unsure"], classes),
            _tta(value),
        )


def _tta(value: Mapping[str, Any]) -> str:
    label = value.get("tta", NONE)
    if not isinstance(label, str):
        raise TypeError(f"tta {label!r}")
    return label


def _escape(
    value: Mapping[str, Any] | None, classes: tuple[str, ...]
) -> EscapeLimit | None:
    if value is None:
        return None
    if value["good_class"] not in classes:
        raise ValueError(f"good class {value['good_class']!r}")
    if value["guarantee"] not in ("confidence", "average"):
        raise ValueError(f"guarantee {value['guarantee']!r}")
    return EscapeLimit(
        good_class=str(value["good_class"]),
        threshold=float(value["threshold"]),
        max_escape=float(value["max_escape"]),
        guarantee=cast(Guarantee, value["guarantee"]),
        confidence=float(value["confidence"]),
        groups=int(value["groups"]),
        missed=int(value["missed"]),
        certified=bool(value["certified"]),
    )


def _lane(
    value: Mapping[str, Any] | None, classes: tuple[str, ...]
) -> UnsureLane | None:
    if value is None:
        return None
    good = value["good_class"]
    if good is not None and good not in classes:
        raise ValueError(f"good class {good!r}")
    entries = [value["classes"][name] for name in classes]
    return UnsureLane(
        coverage=float(value["coverage"]),
        limits=tuple(float(entry["limit"]) for entry in entries),
        promised=tuple(bool(entry["promised"]) for entry in entries),
        good_class=good,
    )
