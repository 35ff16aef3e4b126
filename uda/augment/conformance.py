"""The conformance test of policies: what the training relies on, probe by probe.

Users run it on their own file before they train with it: ``uda policy check``.
"""

from __future__ import annotations

import hashlib
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from uda.augment.kernels import render
from uda.augment.policy import Policy, PythonPolicy
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]
AnyPolicy = Policy | PythonPolicy

# Slower than this per image, and training on a few cores waits for its views.
SLOW_MS = 5.0

_NUM = 8
_SQUARE = (16, 16)
_ODD = ((12, 20), (1, 9), (3, 2))
_ODD_NAMES = (
    "non-square images", "images of 1 x 1 px", "constant images", "checkerboards",
)  # fmt: skip
_KINDS = {3: "colour", 1: "grey"}
_TIMED, _ROUNDS = 64, 5
_CHILD_SECONDS = 300
_CHILD = (
    "import sys; from uda.augment.conformance import answer; "
    "print('views', answer(sys.stdin.buffer.read()))"
)


@dataclass(frozen=True)
class Verdict:
    """What one probe found.

    Attributes:
        name: of the probe, in words.
        fault: what is wrong and the way out; empty when the probe was passed.
        note: a number, a warning or how it was passed; no fault.
    """

    name: str
    fault: str = ""
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.fault


@dataclass(frozen=True)
class _Case:
    """A policy on one batch (N, H, W, K); ``about`` names both in messages."""

    policy: AnyPolicy
    images: UInt8
    about: str

    def views(self, start: int = 0, stop: int = _NUM) -> UInt8:
        """Render some of the views."""
        return render(
            self.policy,
            self.images[start:stop],
            seed=0,
            stream="check",
            counters=np.arange(start, stop),
            fill=np.full(self.images.shape[3], 117, dtype=np.uint8),
        )


def check_policy(policy: AnyPolicy) -> None:
    """Hold a policy to its contract and stop at the first fault.

    Puts it to all probes of :func:`probe_policy` but those that take another
    process or a clock.

    Args:
        policy: native or Python.

    Raises:
        DataError: the first thing that fails, naming the policy and the image.
    """
    for verdict in _probes_here(policy):
        if not verdict.passed:
            raise DataError(verdict.fault)


def probe_policy(policy: AnyPolicy, *, slow_ms: float = SLOW_MS) -> Iterator[Verdict]:
    """Put a policy to every probe, and go on after a fault.

    Views keep shape, dtype and range; the same seed, stream and counter give the
    same pixels, here and in a new process whose global generators hold something
    else; the division into batches changes nothing; the input stays as it was;
    noise, constant, checkerboard, non-square and 1 x 1 px images pass in grey and
    in colour, without a division by zero or a NaN on the way.

    Args:
        policy: native or Python.
        slow_ms: milliseconds per image of 64 x 64 px above which a note warns.

    Yields:
        One verdict per probe, as soon as it is known.
    """
    usable: list[int] = []
    yield from _probes_here(policy, usable)
    if usable:
        plain = [_noise(policy, _SQUARE, channels) for channels in usable]
        yield _verdict("same views in a new process", _same_elsewhere, plain)
        yield _timing(policy, max(usable), slow_ms)


def _probes_here(
    policy: AnyPolicy, usable: list[int] | None = None
) -> Iterator[Verdict]:
    """Probe in this process; ``usable`` is filled with the channels that work."""
    usable = [] if usable is None else usable
    for channels, kind in _KINDS.items():
        name = f"shape and dtype of {kind} images"
        verdict = _verdict(name, _renders, [_noise(policy, _SQUARE, channels)])
        if verdict.passed:
            usable.append(channels)
            verdict = replace(verdict, note=_taken_as(policy, channels))
        yield verdict
    # A policy that fails on grey alone is told so once, not by every probe.
    odd = _odd_cases(policy, usable)
    for name, cases in odd.items():
        if usable:
            yield _verdict(name, _renders, cases)
    every = [case for cases in odd.values() for case in cases]
    for name, probe in _PROBES.items():
        if usable:
            yield _verdict(name, probe, every)


def _taken_as(policy: AnyPolicy, channels: int) -> str:
    """Say how a library that takes colour alone gets grey images."""
    adapter = policy.adapter if isinstance(policy, PythonPolicy) else None
    if adapter is None or channels in adapter.channels:
        return ""
    return "as three equal channels, and back by their luminance"


def _odd_cases(policy: AnyPolicy, usable: Sequence[int]) -> dict[str, list[_Case]]:
    """Return the cases of each kind of unusual image, by what to call them."""
    y, x = np.mgrid[: _SQUARE[0], : _SQUARE[1]]
    board = (255 * ((x + y) % 2)).astype(np.uint8)
    flat = {"black": np.zeros_like(board), "white": np.full_like(board, 255)}
    found: dict[str, list[_Case]] = {name: [] for name in _ODD_NAMES}
    square, single, constant, boards = found.values()
    for k in usable:
        square += [_noise(policy, shape, k) for shape in _ODD]
        single.append(_noise(policy, (1, 1), k))
        constant += [_case(policy, n, _stack(plane, k)) for n, plane in flat.items()]
        boards.append(_case(policy, "checkerboard", _stack(board, k)))
    return found


def _stack(plane: UInt8, channels: int) -> UInt8:
    return np.tile(plane[None, :, :, None], (_NUM, 1, 1, channels))


def _noise(policy: AnyPolicy, shape: tuple[int, int], channels: int) -> _Case:
    size = (_NUM, *shape, channels)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return _case(policy, "random", pixels)


def _case(policy: AnyPolicy, kind: str, images: UInt8) -> _Case:
    where = policy.path or policy.name
    height, width, channels = images.shape[1:]
    about = f"{where}: on {kind} images of {height}x{width}x{channels}"
    return _Case(policy, images, about)


def _verdict(
    name: str, probe: Callable[[_Case], str], cases: Iterable[_Case]
) -> Verdict:
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


def _renders(case: _Case) -> str:
    case.views()
    return ""


def _in_range(case: _Case) -> str:
    if case.views().max() <= 1 < case.images.max() - case.images.min():
        return (
            "views hold no grey level above 1; an image in 0..1 must be multiplied "
            "by 255 before it becomes uint8"
        )
    return ""


def _leaves_input(case: _Case) -> str:
    before = case.images.copy()
    case.views()
    if np.array_equal(case.images, before):
        return ""
    return "the policy changed its input; work on a copy"


def _repeats(case: _Case) -> str:
    if np.array_equal(case.views(), case.views()):
        return ""
    return (
        "two calls with the same seed differ; draw every random number from the "
        "generator that augment gets"
    )


def _ignores_split(case: _Case) -> str:
    late, early = case.views(_NUM // 2, _NUM), case.views(0, _NUM // 2)
    if np.array_equal(case.views(), np.concatenate([early, late])):
        return ""
    return (
        "views depend on how images are divided into batches; keep no state between "
        "calls"
    )


_PROBES = {
    "grey levels up to 255": _in_range,
    "images left unchanged": _leaves_input,
    "same seed, same views": _repeats,
    "independent of the batch split": _ignores_split,
}


def _same_elsewhere(case: _Case) -> str:
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
    return _digest(_Case(policy, images, "").views())


def _digest(views: UInt8) -> str:
    return hashlib.sha256(np.ascontiguousarray(views).tobytes()).hexdigest()


def _timing(policy: AnyPolicy, channels: int, slow_ms: float) -> Verdict:
    name, side = "time", _TIMED
    case = _noise(policy, (side, side), channels)
    try:
        changed = not np.array_equal(case.views(), case.images)
        took = statistics.median(_seconds(case) for _ in range(_ROUNDS)) / _NUM
    except DataError as error:
        return Verdict(name, str(error))
    note = f"{1000 * took:.3g} ms per image of {side}x{side} px"
    if 1000 * took > slow_ms:
        note += (
            f", above {slow_ms:g} ms: training may wait for it; give it more --workers "
            "or a cheaper policy (uda policy bench)"
        )
    if not changed:
        note += "; no view differs from its image: nothing is augmented"
    return Verdict(name, note=note)


def _seconds(case: _Case) -> float:
    begin = time.perf_counter()
    case.views()
    return time.perf_counter() - begin
