"""Make the compiled executor ready: compile it once, find it again, or do without.

The compiled executor is used where numba works; ``UDA_EXECUTOR=pillow`` asks for
the other one.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy.typing as npt

from uda import rng
from uda.augment import ops
from uda.errors import UsageError

Execute = Callable[..., None]
Scratch = Callable[..., tuple[npt.NDArray[Any], ...]]

_VARIABLE = "UDA_EXECUTOR"


def warm_up() -> Literal["numba", "pillow"]:
    """Make the executor ready and return which one it is.

    The first call on a machine compiles for some seconds, later ones load the
    result in less than one. Without this call, the first ``apply`` does it.

    Raises:
        UsageError: the variable UDA_EXECUTOR holds something unknown, or numba
            where numba cannot be used.
    """
    wanted = os.environ.get(_VARIABLE, "")
    if wanted not in ("", "numba", "pillow"):
        raise UsageError(f"{_VARIABLE} is {wanted!r}; set it to numba or pillow")
    if wanted == "pillow":
        return "pillow"
    if compiled() is not None:
        return "numba"
    if wanted:
        raise UsageError(
            f"{_VARIABLE} is numba, but numba cannot be imported here; set it to "
            "pillow, or install a numba that fits this Python and numpy"
        )
    return "pillow"


def is_compiled() -> bool:
    """Whether ``warm_up`` would not have to compile: in memory, cached, or not used.

    For a progress line before some seconds of silence; imports nothing.
    """
    if os.environ.get(_VARIABLE) == "pillow" or "uda.augment.compiled" in sys.modules:
        return True
    folder = cache_folder()
    # numba names its files after the Python that they are for.
    python = f"py{sys.version_info[0]}{sys.version_info[1]}{sys.abiflags}"
    pattern = f"compiled._execute*.{python}.nbi"
    return bool(folder) and any(Path(folder).rglob(pattern))


@cache
def compiled() -> tuple[Execute, Scratch] | None:
    """Import, and so compile or load, the compiled executor; None without numba.

    Returns:
        The executor, and what makes the scratch arrays of one call of it.
    """
    try:
        numba = importlib.import_module("numba")
    except (ImportError, AttributeError):  # missing, or too old for this numpy
        return None
    before = numba.config.CACHE_DIR
    try:
        with _cache_for_import() as numba.config.CACHE_DIR:
            module = importlib.import_module("uda.augment.compiled")
            random = importlib.import_module("uda.augment.compiled_random")
    except (
        numba.core.errors.NumbaError,
        KeyError,
    ):  # cannot compile, or no such option
        return None
    finally:
        numba.config.CACHE_DIR = before
    rng.accelerate(random.words)
    return module.execute, module.scratch


@contextmanager
def _cache_for_import() -> Iterator[str]:
    """Give the cache folder, or an empty one for once where there is none.

    Without a folder of its own numba caches beside the source, where the name says
    nothing of the parts: an edited checkout would run kernels of older ones.
    """
    folder = cache_folder()
    if folder:
        yield folder
        return
    with ExitStack() as stack:
        try:
            temporary = TemporaryDirectory(
                prefix="uda-kernels-", ignore_cleanup_errors=True
            )
            folder = stack.enter_context(temporary)
        except OSError:  # nothing can be written at all: compiled in memory
            folder = ""
        yield folder


def cache_folder() -> str:
    """Return a folder of the user's own for compiled code, or "" for none.

    Never a shared temporary folder: what lies there is run when it is loaded. The
    name follows the source, inside NUMBA_CACHE_DIR too: numba itself looks only at
    size and date of one file, and would run kernels of older parts.
    """
    asked = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    base = asked or "~/.cache"
    parts = sorted(Path(__file__).parent.glob("compiled*.py"))
    text = b"".join(part.read_bytes() for part in [*parts, Path(ops.__file__)])
    digest = hashlib.sha256(text).hexdigest()[:16]
    try:
        folder = Path(base).expanduser() / "uda" / "kernels" / digest
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or a user without a home
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""
