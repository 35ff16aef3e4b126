"""Python policies: a function or another library's object, kept on a short leash.

Each view is made from a copy of one image and from seeds of its own; what comes
back is checked, and every fault is a DataError that names the file.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.augment.adapters import Adapter
from uda.augment.adapters.base import Misfit, to_gray, to_uint8
from uda.augment.adapters.oldnumpy import importable
from uda.augment.pluginfile import FAULTS, blame, read_object, usable, what
from uda.augment.prints import no_output
from uda.augment.specs import Policy
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]
Result = TypeVar("Result")
Augment = Callable[[UInt8, np.random.Generator], UInt8]


@dataclass(frozen=True)
class PythonPolicy:
    """A policy that is a Python function, or an object of another library.

    Attributes:
        name: the file's name without suffix, or that of the entry point.
        path: the file.
        function: ``augment(image (H, W, K) uint8, rng) -> (H, W, K) uint8``; an
            Adapter where the file defines another library's object.
        entry: "module:object" where the policy comes from an entry point.
    """

    name: str
    path: Path
    function: Augment
    entry: str = ""

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file's content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def adapter(self) -> Adapter | None:
        """The adapter around another library's object, if it is one."""
        return self.function if isinstance(self.function, Adapter) else None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # The function's module has no importable name: workers load it anew.
        if self.entry:
            return load_entry, (self.name, self.entry)
        return load_python, (self.path,)


def load_python(path: Path) -> PythonPolicy | Policy:
    """Load the policy that a Python file defines.

    Raises:
        DataError: the file cannot be run or defines no policy.
    """
    found = read_object(path)
    if isinstance(found, Policy):
        return replace(found, path=path.resolve())
    return PythonPolicy(path.stem, path.resolve(), found)


def load_entry(name: str, entry: str) -> PythonPolicy | Policy | Path:
    """Load what an entry point names.

    Args:
        name: of the entry point.
        entry: "module:object"; the object is the path of a YAML or Python file
            (relative to the module's folder), a native Policy, a function or an
            object of another library.

    Raises:
        DataError: it cannot be imported, or is nothing of the kind.
    """
    module_name, _, attribute = entry.partition(":")
    try:
        with importable(), no_output(f"entry point {name}"):
            module = importlib.import_module(module_name)
            value: Any = module
            for part in attribute.split("."):
                value = getattr(value, part)
    except FAULTS as error:
        raise DataError(f"entry point {name} = {entry}: {what(error)}") from error
    if not getattr(module, "__file__", None):
        raise DataError(
            f"entry point {name} = {entry}: {module_name} has no file (it is built in, "
            "or a folder without __init__.py), so nothing tells whether the policy "
            "changes; put it in a module with a file"
        )
    path = Path(str(module.__file__)).resolve()
    if isinstance(value, str | Path):
        return path.parent / value
    found = usable(value, f"entry point {name} = {entry}", attribute)
    if isinstance(found, Policy):
        return replace(found, name=name, path=path)
    return PythonPolicy(name, path, found, entry)


def render_python(
    policy: PythonPolicy,
    images: UInt8,
    out: UInt8,
    *,
    seed: int,
    stream: str,
    counters: npt.NDArray[np.int64],
) -> None:
    """Call a Python policy image by image, each from its own seed.

    The generators of ``random``, ``numpy.random`` and torch are seeded from the
    same numbers while the function runs, and put back afterwards.

    Args:
        policy: the policy.
        images: (N, H, W, K) uint8; the function gets copies.
        out: (N, H, W, K) uint8, written.
        seed: the run's seed.
        stream: name of the view.
        counters: (N,) one counter per image.

    Raises:
        DataError: the function raises or returns something else than an array
            of the image's shape and dtype.
    """
    global_seeds = rng.integers32(seed, f"{stream}/globals", counters, 1)[:, 0]
    with contained(policy.path) as seed_globals:
        for row, counter in enumerate(counters.tolist()):

            def seeded(row: int = row, counter: int = counter) -> np.random.Generator:
                seed_globals(int(global_seeds[row]))
                return rng.generator(seed, stream, counter)

            out[row] = _view(policy, images[row], seeded)


def _view(
    policy: PythonPolicy, image: UInt8, seeded: Callable[[], np.random.Generator]
) -> UInt8:
    def call(given: UInt8) -> UInt8:
        return _call(policy, given, seeded())

    return call_for_channels(policy, image, call, gray=to_gray)


def call_for_channels(
    policy: PythonPolicy,
    image: UInt8,
    call: Callable[[UInt8], Result],
    *,
    gray: Callable[[Result], Result],
) -> Result:
    """Make one view; grey images pass ops for colour as three equal channels.

    Args:
        policy: the policy.
        image: (H, W, K) uint8; ``call`` gets copies.
        call: makes the view of an image, from the same seed each time.
        gray: turns what ``call`` made of a colour image to grey.

    Raises:
        OpFault: from the first call, where an image in colour fails as well.
    """
    if policy.adapter is None or image.shape[2] == 3:
        return call(image.copy())
    color = np.repeat(image, 3, axis=2)
    if 1 not in policy.adapter.channels:
        return gray(call(color))
    try:
        return call(image.copy())
    except OpFault as fault:
        try:
            return gray(call(color))
        except DataError:
            raise fault from fault.__cause__


class OpFault(DataError):
    """An op has raised, in contrast to a result that does not fit."""


def _call(policy: PythonPolicy, image: UInt8, generator: np.random.Generator) -> UInt8:
    shape, function = image.shape, policy.function
    who = policy.adapter.library if policy.adapter else "augment"
    try:
        result: Any = function(image, generator)
    except Misfit as error:
        raise DataError(f"{policy.path}: {who} {error}") from error
    except FAULTS as error:
        raise OpFault(
            f"{policy.path}{blame(policy.path, error, function)} failed on an "
            f"image of shape {shape}: {what(error)}"
        ) from error
    if not isinstance(result, np.ndarray):
        raise DataError(
            f"{policy.path}: {who} returned {type(result).__name__}; it must "
            f"return a uint8 array of shape {shape}"
        )
    if result.dtype != np.uint8 or result.shape != shape:
        raise DataError(
            f"{policy.path}: {who} returned {result.dtype} of shape "
            f"{result.shape}; it must return uint8 of shape {shape}, as it got"
            f"{_way_out(result, shape)}"
        )
    return result


def _way_out(result: npt.NDArray[Any], shape: tuple[int, ...]) -> str:
    """Return what to do about a result that does not fit."""
    if result.dtype.kind == "f":
        try:
            to_uint8(result)
        except Misfit as error:
            return f"; it {error}"
        return "; round 255 times the values and cast them: (255 * x + 0.5).astype"
    if result.shape[:2] != shape[:2]:
        return (
            "; sizes are set by --imgsz: bring the view back to its size inside the "
            f"policy, for example by a resize to {shape[0]}x{shape[1]} at its end"
        )
    return ""


@contextmanager
def contained(source: object) -> Iterator[Callable[[int], None]]:
    """Let foreign code run: what it prints and draws stays without consequences.

    Args:
        source: the file that it is of.

    Yields:
        A function that seeds the generators of ``random``, ``numpy.random`` and
        torch; they are put back at the end.
    """
    with (
        importable(mend=False),
        no_output(source),
        _seedable_globals() as seed_globals,
    ):
        yield seed_globals


@contextmanager
def _seedable_globals() -> Iterator[Callable[[int], None]]:
    """Give a function that seeds the global generators; restore them at the end.

    torch is left alone unless something has imported it already. It computes in
    one thread meanwhile, as it does in a worker process.
    """
    torch = sys.modules.get("torch")
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state() if torch else None
    threads = torch.get_num_threads() if torch else 1

    def seed_globals(seed: int) -> None:
        random.seed(seed)  # noqa: TID251 - a plug-in may use the global generators
        np.random.seed(seed)  # noqa: NPY002, TID251
        if torch:
            torch.default_generator.manual_seed(seed)

    try:
        if torch and threads > 1:
            torch.set_num_threads(1)
        yield seed_globals
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        if torch:
            torch.set_rng_state(torch_state)
            if threads > 1:
                torch.set_num_threads(threads)


def images_per_second(
    policy: PythonPolicy, images: UInt8, *, seconds: float = 0.5
) -> float:
    """Measure the rate of one process, for at most about ``seconds``.

    Args:
        policy: the policy.
        images: (N, H, W, K) uint8, N >= 1; used again and again.
        seconds: when to stop; one image is always made.
    """
    begin, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - begin < seconds:
        batch = np.ascontiguousarray(images[: done or 1])
        counts = np.arange(done, done + len(batch), dtype=np.int64)
        render_python(
            policy, batch, np.empty_like(batch), seed=0, stream="rate", counters=counts
        )
        done += len(batch)
    return done / (time.perf_counter() - begin)
