"""Single probes of a policy: one batch of images in, what is wrong in words out.

Which images a policy is put to, and in which order, is the business of
``conformance``.
"""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]
AnyPolicy = Policy | PythonPolicy

_CHILD_SECONDS = 300
_CHILD = (
    "import sys; from uda.augment.probes import answer; "
    "print('views', answer(sys.stdin.buffer.read()))"
)


@dataclass(frozen=True)
class Verdict:
    """What one probe found.

    Attributes:
        name: of the probe, in words.
        fault: what is wrong and the way out; empty when the probe was passed.
        note: a number, or how it was passed; no fault.
        warning: what training bears, and its user should know; no fault.
    """

    name: str
    fault: str = ""
    note: str = ""
    warning: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.fault


@dataclass(frozen=True)
class Case:
    """A policy on one batch (N, H, W, K); ``about`` names both in messages."""

    policy: AnyPolicy
    images: UInt8
    about: str

    def views(self, start: int = 0, stop: int | None = None) -> UInt8:
        """Render some of the views."""
        stop = len(self.images) if stop is None else stop
        return render(
            self.policy,
            self.images[start:stop],
            seed=0,
            stream="check",
            counters=np.arange(start, stop),
            fill=np.full(self.images.shape[3], 117, dtype=np.uint8),
        )


def judge(name: str, probe: Callable[[Case], str], cases: Iterable[Case]) -> Verdict:
    """Put every case to a probe; the first fault is the verdict."""
    for case in cases:
        try:
            # A NaN cast to uint8 differs from one machine to the next.
            with np.errstate(divide="raise", invalid="raise"):
                fault = probe(case)
        except DataError as error:
            return Verdict(name, str(error))
        if fault:
            return Verdict(name, f"{case.about}: {fault}")
    return Verdict(name)


def renders(case: Case) -> str:
    """Make all views: a policy that cannot raises a DataError."""
    case.views()
    return ""


def _in_range(case: Case) -> str:
    if case.views().max() <= 1 < case.images.max() - case.images.min():
        return (
            "views hold no grey level above 1; an image in 0..1 must be multiplied "
            "by 255 before it becomes uint8"
        )
    return ""


def _leaves_input(case: Case) -> str:
    before = case.images.copy()
    case.views()
    if np.array_equal(case.images, before):
        return ""
    return "the policy changed its input; work on a copy"


def _repeats(case: Case) -> str:
    if np.array_equal(case.views(), case.views()):
        return ""
    return (
        "two calls with the same seed differ; draw every random number from the "
        "generator that augment gets"
    )


def _ignores_split(case: Case) -> str:
    half = len(case.images) // 2
    late, early = case.views(half), case.views(0, half)
    if np.array_equal(case.views(), np.concatenate([early, late])):
        return ""
    return (
        "views depend on how images are divided into batches; keep no state between "
        "calls"
    )


PROBES = {
    "grey levels up to 255": _in_range,
    "input array not modified": _leaves_input,
    "same seed, same views": _repeats,
    "independent of the batch split": _ignores_split,
}


def same_elsewhere(case: Case) -> str:
    """Render in a process that imports everything anew, as a worker does."""
    try:
        content = pickle.dumps((case.policy, case.images))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        return f"the policy cannot be sent to a worker process ({error})"
    try:
        run = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=content,
            capture_output=True,
            timeout=_CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a new process gave no views within {_CHILD_SECONDS} s"
    said = run.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    if not said.startswith("views "):
        last = run.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"a new process cannot run the policy: {last or run.returncode}"
    if said.split()[1] == _digest(case.views()):
        return ""
    return (
        "a new process gives other views of the same seed; take no number from the "
        "process, the clock, the environment or hash()"
    )


def answer(content: bytes) -> str:
    """Render a pickled policy and images; called in the new process.

    Args:
        content: pickle of (policy, images (N, H, W, K) uint8), from this module.

    Returns:
        The SHA-256 of the views.
    """
    policy, images = pickle.loads(content)
    return _digest(Case(policy, images, "").views())


def _digest(views: UInt8) -> str:
    return hashlib.sha256(np.ascontiguousarray(views).tobytes()).hexdigest()
