"""Quality gates such as ``recall:Rust>=0.8``: parse, look up, pass or fail.

A number that the data cannot give never passes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from uda.errors import GateError, UsageError
from uda.evaluation.estimates import Estimate, metric_names
from uda.evaluation.multilabel import AnyMetrics, label_metric_names

_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
# The last operator counts, as a class name may hold one too.
_PATTERN = re.compile(r"(?P<metric>.*[^<>=\s])\s*(?P<sign>>=|<=|>|<)\s*(?P<number>\S+)")


@dataclass(frozen=True)
class Gate:
    """One requirement on one number."""

    metric: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.metric}{self.sign}{self.limit:g}"

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read ``metric>=number``; the number is a share between 0 and 1.

        Raises:
            UsageError: saying how a requirement is written.
        """
        match = _PATTERN.fullmatch(text.strip())
        try:
            limit = float(match["number"]) if match else float("nan")
        except ValueError:
            limit = float("nan")
        if match is None or not 0 <= limit <= 1:
            raise UsageError(
                f"--require {text!r}: write a metric, one of >= <= > <, and a share "
                'from 0 to 1, for example "recall:Rust>=0.8" or "macro_f1>=0.7"'
            )
        return cls(match["metric"], match["sign"], limit)

    def holds(self, estimate: Estimate) -> bool:
        """Tell whether a number meets the requirement; n/a never does."""
        if estimate.value is None:
            return False
        return bool(_COMPARE[self.sign](estimate.value, self.limit))


def check_names(
    gates: Sequence[Gate],
    classes: Sequence[str],
    good_class: str | None,
    *,
    several: bool = False,
) -> None:
    """Refuse unknown metrics before anything is computed.

    Args:
        gates: the requirements.
        classes: (C,) class names.
        good_class: the class of parts without a defect, or None.
        several: whether an image may have several labels.

    Raises:
        UsageError: with the list of the known names.
    """
    known = (
        label_metric_names(classes) if several else metric_names(classes, good_class)
    )
    for gate in gates:
        if gate.metric not in known:
            hint = (
                ""
                if good_class or several
                else "; escape and overkill need --good-class"
            )
            raise UsageError(
                f"--require {str(gate)!r}: {gate.metric!r} is not a metric here; "
                f"known: {', '.join(known)}{hint}"
            )


def enforce(gates: Sequence[Gate], metrics: AnyMetrics) -> list[str]:
    """Return one line per met requirement.

    Raises:
        GateError: naming each requirement that is not met, with the value and
            its interval.
    """
    lines = [(gate, metrics.find(gate.metric)) for gate in gates]
    failed = [f"{g} not met: {_said(e)}" for g, e in lines if not g.holds(e)]
    if failed:
        raise GateError("; ".join(failed))
    return [f"{gate} met: {_said(estimate)}" for gate, estimate in lines]


def _said(estimate: Estimate) -> str:
    if estimate.value is None:
        return "n/a (the data have no images for it)"
    count = (
        f", {estimate.part} of {estimate.whole}" if estimate.part is not None else ""
    )
    if estimate.interval is None:
        return f"{estimate.value:.3f}{count}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} (95 % interval {low:.3f} to {high:.3f}{count})"
