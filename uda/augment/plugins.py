"""Python policies: one function of the user's own file, kept on a short leash.

The function gets a copy of one image and its own generator; what it returns is
checked, and every fault is a DataError that names the file.
"""

from __future__ import annotations

import hashlib
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from uda import rng
from uda.errors import DataError

UInt8 = npt.NDArray[np.uint8]
Augment = Callable[[UInt8, np.random.Generator], UInt8]

_FUNCTION = "augment"
# A plug-in that calls sys.exit() must not end the training without a word.
_FAULTS = (Exception, SystemExit)


@dataclass(frozen=True)
class PythonPolicy:
    """A policy that is a Python function.

    Attributes:
        name: the file's name without suffix.
        path: the file.
        function: ``augment(image (H, W, K) uint8, rng) -> (H, W, K) uint8``.
    """

    name: str
    path: Path
    function: Augment

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file's content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def __reduce__(self) -> tuple[Callable[[Path], PythonPolicy], tuple[Path]]:
        # The function's module has no importable name: workers load it anew.
        return load_python, (self.path,)


def load_python(path: Path) -> PythonPolicy:
    """Load the function ``augment`` of a Python file.

    Raises:
        DataError: the file cannot be run or has no such function.
    """
    module = _run_file(path)
    function = getattr(module, _FUNCTION, None)
    if not callable(function):
        raise DataError(
            f"{path}: a Python policy must define {_FUNCTION}(image, rng), where "
            "image is a uint8 array (H, W, K) and rng a numpy Generator"
        )
    return PythonPolicy(path.stem, path.resolve(), function)


def _run_file(path: Path) -> ModuleType:
    """Run a file as a module of its own, leaving no byte code beside it."""
    resolved = str(path.resolve())
    digest = hashlib.sha256(resolved.encode("utf-8", "surrogateescape")).hexdigest()
    module = ModuleType(f"uda_policy_{digest[:16]}")
    module.__file__ = resolved
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(path.read_bytes(), resolved, "exec"), module.__dict__)
    except _FAULTS as error:
        raise DataError(f"{path}{_where(path, error)}: {_what(error)}") from error
    return module


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
    with _seedable_globals() as seed_globals:
        for row, counter in enumerate(counters):
            seed_globals(int(global_seeds[row]))
            generator = rng.generator(seed, stream, int(counter))
            out[row] = _call(policy, images[row].copy(), generator)


def _call(policy: PythonPolicy, image: UInt8, generator: np.random.Generator) -> UInt8:
    shape = image.shape
    try:
        result: Any = policy.function(image, generator)
    except _FAULTS as error:
        raise DataError(
            f"{policy.path}{_where(policy.path, error)}: {_FUNCTION} failed on an "
            f"image of shape {shape}: {_what(error)}"
        ) from error
    if not isinstance(result, np.ndarray):
        raise DataError(
            f"{policy.path}: {_FUNCTION} returned {type(result).__name__}; it must "
            f"return a uint8 array of shape {shape}"
        )
    if result.dtype != np.uint8 or result.shape != shape:
        raise DataError(
            f"{policy.path}: {_FUNCTION} returned {result.dtype} of shape "
            f"{result.shape}; it must return uint8 of shape {shape}, as it got"
        )
    return result


@contextmanager
def _seedable_globals() -> Iterator[Callable[[int], None]]:
    """Give a function that seeds the global generators; restore them at the end.

    torch is left alone unless something has imported it already.
    """
    torch = sys.modules.get("torch")
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state() if torch else None

    def seed_globals(seed: int) -> None:
        random.seed(seed)  # noqa: TID251 - a plug-in may use the global generators
        np.random.seed(seed)  # noqa: NPY002, TID251
        if torch:
            torch.default_generator.manual_seed(seed)

    try:
        yield seed_globals
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        if torch:
            torch.set_rng_state(torch_state)


def _where(path: Path, error: BaseException) -> str:
    """Return ":LINE" of the innermost frame inside the plug-in's file."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).name == path.name]
    return f":{lines[-1]}" if lines else ""


def _what(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
