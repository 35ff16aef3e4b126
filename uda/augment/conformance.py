"""The conformance test of policies: what the training relies on, probe by probe.

Users run it on their own file before they train with it: ``uda policy check``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from uda.augment.policy import Policy, PythonPolicy
from uda.augment.prints import SHOWN, printed
from uda.augment.probes import (
    PROBES,
    AnyPolicy,
    Case,
    UInt8,
    Verdict,
    judge,
    renders,
    same_elsewhere,
)
from uda.errors import DataError

# Slower than this per image, and training on a few cores waits for its views.
SLOW_MS = 5.0

# Height and width that training uses, unless it is told otherwise.
SIZE = (64, 64)

_NUM, _FEW = 8, 2
# From so many seconds per view on, fewer views are made.
_COSTLY = 0.01
_ODD = {
    "non-square images": ((12, 20), (1, 9), (3, 2)),
    "images of 1 x 1 px": ((1, 1),),
}
_KINDS = {3: "colour", 1: "grey"}
_ROUNDS = 5
_MANY = 8


def check_policy(policy: AnyPolicy, *, size: tuple[int, int] = SIZE) -> None:
    """Hold a policy to its contract and stop at the first fault.

    Puts it to all probes of :func:`probe_policy` but those that take another
    process or a clock.

    Args:
        policy: native or Python.
        size: height and width of the images that it is for.

    Raises:
        DataError: the first thing that fails, naming the policy and the image.
    """
    for verdict in _probes_here(_Bench.of(policy, size), []):
        if not verdict.passed:
            raise DataError(verdict.fault)


def probe_policy(
    policy: AnyPolicy, *, slow_ms: float = SLOW_MS, size: tuple[int, int] = SIZE
) -> Iterator[Verdict]:
    """Put a policy to every probe, and go on after a fault.

    Views keep shape, dtype and range; the same seed, stream and counter give the
    same pixels, here and in a new process whose global generators hold something
    else; the division into batches changes nothing; the input stays as it was;
    noise, constant and checkerboard images pass in grey and in colour, without a
    division by zero or a NaN on the way. All images of one training have one size,
    so a Python policy that fails on other sizes alone is warned of.

    Args:
        policy: native or Python.
        slow_ms: milliseconds per image above which a warning is given.
        size: height and width of the images that it is for.

    Yields:
        One verdict per probe, as soon as it is known.
    """
    before = printed(policy.path)
    bench = _Bench.of(policy, size)
    usable: list[int] = []
    yield from _probes_here(bench, usable)
    if not usable:
        return
    plain = [bench.noise(size, channels) for channels in usable]
    yield judge("same views in a new process", same_elsewhere, plain)
    yield _idle(bench, plain)
    yield _silent(policy, printed(policy.path) - before)
    yield _timing(bench, plain[0], slow_ms)


@dataclass(frozen=True)
class _Bench:
    """A policy, the size that it is for, and how many views it is worth."""

    policy: AnyPolicy
    size: tuple[int, int]
    num: int

    @classmethod
    def of(cls, policy: AnyPolicy, size: tuple[int, int]) -> _Bench:
        """Make one view, to see how many more are bearable."""
        bench = cls(policy, size, 1)
        begin = time.perf_counter()
        for channels in (1, 3):
            # The first view of all may import and compile; a probe tells of faults.
            with suppress(DataError), np.errstate(all="ignore"):
                bench.noise(size, channels).views()
                begin = time.perf_counter()
                bench.noise(size, channels).views()
        costly = time.perf_counter() - begin > _COSTLY
        return replace(bench, num=_FEW if costly else _NUM)

    @property
    def costly(self) -> bool:
        """Whether views take so long that few are made."""
        return self.num == _FEW

    def stack(self, kind: str, plane: UInt8, channels: int) -> Case:
        """Return a case of the same plane (H, W) again and again."""
        images = np.tile(plane[None, :, :, None], (self.num, 1, 1, channels))
        return self._case(kind, images)

    def noise(self, shape: tuple[int, int], channels: int) -> Case:
        """Return a case of random pixels."""
        size = (self.num, *shape, channels)
        pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        return self._case("random", pixels)

    def _case(self, kind: str, images: UInt8) -> Case:
        where = self.policy.path or self.policy.name
        height, width, channels = images.shape[1:]
        about = f"{where}: on {kind} images of {height}x{width}x{channels}"
        return Case(self.policy, images, about)


def _probes_here(bench: _Bench, usable: list[int]) -> Iterator[Verdict]:
    """Probe in this process; ``usable`` is filled with the channels that work."""
    for channels, kind in _KINDS.items():
        name = f"shape and dtype of {kind} images"
        verdict = judge(name, renders, [bench.noise(bench.size, channels)])
        if verdict.passed:
            usable.append(channels)
            verdict = replace(verdict, note=_taken_as(bench.policy, channels))
        yield verdict
    if not usable:
        return
    # A policy that fails on grey alone is told so once, not by every probe.
    every = [bench.noise(bench.size, channels) for channels in usable]
    for name, cases in _unusual(bench, usable).items():
        yield judge(name, renders, cases)
        every += [] if bench.costly else cases
    for name, shapes in _ODD.items():
        cases = [bench.noise(shape, k) for k in usable for shape in shapes]
        verdict = judge(name, renders, cases)
        every += cases if verdict.passed and not bench.costly else []
        yield _borne(bench, verdict)
    for name, probe in PROBES.items():
        yield judge(name, probe, every)


def _borne(bench: _Bench, verdict: Verdict) -> Verdict:
    """Turn a fault on another size into a warning: training has one size."""
    if verdict.passed or isinstance(bench.policy, Policy):
        return verdict
    height, width = bench.size
    return Verdict(
        verdict.name,
        warning=f"fails on other sizes than --imgsz {height}x{width} alone: "
        f"{verdict.fault}",
    )


def _taken_as(policy: AnyPolicy, channels: int) -> str:
    """Say how a library that takes colour alone gets grey images."""
    adapter = policy.adapter if isinstance(policy, PythonPolicy) else None
    if adapter is None or channels in adapter.channels:
        return ""
    return "as three equal channels, and back by their luminance"


def _unusual(bench: _Bench, usable: Sequence[int]) -> dict[str, list[Case]]:
    """Return the cases of each kind of unusual image, by what to call them."""
    y, x = np.mgrid[: bench.size[0], : bench.size[1]]
    board = (255 * ((x + y) % 2)).astype(np.uint8)
    flat = {"black": np.zeros_like(board), "white": np.full_like(board, 255)}
    return {
        "constant images": [
            bench.stack(name, plane, k) for k in usable for name, plane in flat.items()
        ],
        "checkerboards": [bench.stack("checkerboard", board, k) for k in usable],
    }


def _idle(bench: _Bench, cases: Sequence[Case]) -> Verdict:
    """Look for one view that differs from its image, among many if they are cheap."""
    name, count = "views differ from their images", 0
    for case in cases:
        times = 1 if bench.costly else _MANY
        many = replace(case, images=np.concatenate([case.images] * times))
        try:
            if not np.array_equal(many.views(), many.images):
                return Verdict(name)
        except DataError as error:
            return Verdict(name, str(error))
        count += len(many.images)
    return Verdict(
        name,
        warning=f"none of {count} views does: the policy changes nothing, or hardly "
        "ever; raise a probability",
    )


def _silent(policy: AnyPolicy, lines: int) -> Verdict:
    name = "prints nothing"
    if not lines:
        return Verdict(name)
    return Verdict(
        name,
        warning=f"{policy.path} has printed {lines} lines here; training shows the "
        f"first {SHOWN} of each process alone, on stderr",
    )


def _timing(bench: _Bench, case: Case, slow_ms: float) -> Verdict:
    name = "time"
    height, width = bench.size
    rounds = 1 if bench.costly else _ROUNDS
    try:
        took = statistics.median(_seconds(case) for _ in range(rounds))
    except DataError as error:
        return Verdict(name, str(error))
    took /= len(case.images)
    note = f"{1000 * took:.3g} ms per image of {height}x{width} px"
    if 1000 * took <= slow_ms:
        return Verdict(name, note=note)
    fewer = f"; {bench.num} images per probe, not {_NUM}" if bench.costly else ""
    return Verdict(
        name,
        warning=f"{note}, above {slow_ms:g} ms: training may wait for it; give it more "
        f"--workers or a cheaper policy (uda policy bench){fewer}",
    )


def _seconds(case: Case) -> float:
    begin = time.perf_counter()
    case.views()
    return time.perf_counter() - begin
