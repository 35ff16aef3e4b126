"""Imports of two unmaintained libraries, which use names that numpy has dropped.

While a user's file is run, imgaug and randaugment see a numpy that still has these
names. numpy itself and all other modules stay as they are.
"""

from __future__ import annotations

import builtins
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

import numpy as np

_LIBRARIES = frozenset({"imgaug", "randaugment"})
_QUIET = "NO_ALBUMENTATIONS_UPDATE"


@contextmanager
def importable(*, mend: bool = True) -> Iterator[None]:
    """Make old libraries importable, and keep albumentations from calling home.

    Args:
        mend: look for modules as well that somebody else has imported before.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    before = os.environ.get(_QUIET)
    os.environ[_QUIET] = before or "1"
    if mend:
        _mend_loaded()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if before is None:
            os.environ.pop(_QUIET, None)
        else:
            os.environ[_QUIET] = before


@cache
def old_numpy() -> ModuleType:
    """Return a copy of the numpy module that has the dropped names as well."""
    copy = ModuleType("numpy", np.__doc__)
    dropped: dict[str, Any] = {
        "int": int, "float": float, "complex": complex, "bool": bool, "object": object,
        "sctypes": {
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64, np.longdouble],
            "complex": [np.complex64, np.complex128, np.clongdouble],
            "others": [bool, object, bytes, str, np.void],
        },
    }  # fmt: skip
    # numpy >= 2 has a name "bool" of its own again: the real names win.
    copy.__dict__.update({**dropped, **vars(np)})
    copy.__dict__["__getattr__"] = lambda name: getattr(np, name)
    return copy


def _import(name: str, *args: Any, **keywords: Any) -> ModuleType:
    """Import like the built-in function, but with the copy of numpy."""
    module = builtins.__import__(name, *args, **keywords)
    return old_numpy() if module is np else module


def _mend_loaded() -> None:
    """Exchange numpy in modules that somebody has imported before."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _LIBRARIES and getattr(module, "np", None) is np:
            module.np = old_numpy()  # type: ignore[attr-defined]


class _Loader(SourceFileLoader):
    """Runs a module whose import statements go through ``_import``."""

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
        with warnings.catch_warnings():  # nobody is left to act on them
            warnings.simplefilter("ignore")
            super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the modules of the old libraries; leaves all others to Python."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _LIBRARIES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
