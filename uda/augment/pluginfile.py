"""The file behind a Python policy: run it, pick its object, blame its lines.

A file defines one thing named ``augment`` or ``policy``: a function of an image
and a generator, an object of a library that has an adapter, or a native Policy.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from uda.augment.adapters import SUPPORTED, Adapter, adapt
from uda.augment.adapters.oldnumpy import importable
from uda.augment.prints import no_output
from uda.augment.specs import Policy
from uda.errors import DataError

# A plug-in that calls sys.exit() must not end the training without a word.
FAULTS = (Exception, SystemExit)
NAMES = ("augment", "policy")
_CONTRACT = (
    "augment(image, rng), where image is a uint8 array (H, W, K) and rng a numpy "
    "Generator"
)
# What to install of them; other versions draw otherwise than the adapters know.
_EXTRAS = {
    "albumentations": "albumentations>=2.0.8,<2.1",
    "imgaug": "imgaug>=0.4",
    "kornia": "kornia>=0.9",
    "timm": "timm>=1.0.15",
}


def read_object(path: Path) -> Callable[..., Any] | Policy:
    """Run a Python file and return what it defines, adapted where needed.

    Raises:
        DataError: the file cannot be run, defines nothing or too much, or an
            object that is of no known kind.
    """
    module = run_file(path)
    found = {
        name: value
        for name in NAMES
        if not isinstance(value := getattr(module, name, None), ModuleType | None)
    }
    if not found:
        raise DataError(
            f"{path}: a Python policy must define {_CONTRACT}, or an object of that "
            f"name or named policy: {SUPPORTED}"
        )
    if len(found) > 1 and found["augment"] is not found["policy"]:
        raise DataError(
            f"{path}{line_of(path, 'policy')}: defines both augment and policy; "
            "rename the one that is not the policy"
        )
    name, value = next(iter(found.items()))
    return usable(value, f"{path}{line_of(path, name)}", name)


def usable(value: Any, where: str, name: str) -> Callable[..., Any] | Policy:
    """Return a function of (image, rng), an adapter or a native Policy.

    Args:
        value: what the user defined.
        where: file and line, for messages.
        name: what the user called it.

    Raises:
        DataError: nothing of the kind.
    """
    if isinstance(value, Policy):
        return value
    kind = type(value)
    if isinstance(value, type):
        raise DataError(
            f"{where}: {name} is the class {value.__name__}, not an object of it; "
            f"write {name} = {value.__name__}(...)"
        )
    try:
        adapter = adapt(value)
    except ValueError as error:
        raise DataError(f"{where}: {name} cannot be used: {error}") from error
    if adapter is not None:
        return adapter
    if callable(value) and _takes_two(value):
        function: Callable[..., Any] = value
        return function
    given = (
        f"a function of {inspect.signature(value)}"
        if inspect.isfunction(value)
        else f"of type {kind.__module__}.{kind.__qualname__}"
    )
    raise DataError(
        f"{where}: {name} is {given}, which is no policy; a Python policy must define "
        f"{_CONTRACT}, or an object: {SUPPORTED}"
    )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # built in: nobody knows
        return True
    return True


def run_file(path: Path) -> ModuleType:
    """Run a file as a module of its own, leaving no byte code beside it."""
    resolved = str(path.resolve())
    digest = hashlib.sha256(resolved.encode("utf-8", "surrogateescape")).hexdigest()
    module = ModuleType(f"uda_policy_{digest[:16]}")
    module.__file__ = resolved
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        with importable(), no_output(path.resolve()):
            exec(compile(path.read_bytes(), resolved, "exec"), module.__dict__)
    except FAULTS as error:
        raise DataError(f"{path}{where(path, error)}: {what(error)}") from error
    return module


def where(path: Path, error: BaseException) -> str:
    """Return ":LINE" of the innermost frame inside the plug-in's file."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).name == path.name]
    return f":{lines[-1]}" if lines else ""


def what(error: BaseException) -> str:
    """Return an error in words, with the way out where a library is missing."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        near = difflib.get_close_matches(top, _EXTRAS, n=1, cutoff=0.8)
        if near:
            meant = "" if near[0] == top else f" (did you mean {near[0]!r}?)"
            words += f"{meant}; install it with: pip install '{_EXTRAS[near[0]]}'"
    return words


def line_of(path: Path, *names: str) -> str:
    """Return ":LINE" of the first call of, or assignment to, one of the names.

    Args:
        path: a Python file.
        names: looked for in this order.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for name in _named(node):
            lines[name] = min(line, lines.get(name, line))
    return next((f":{lines[name]}" for name in names if name in lines), "")


def _named(node: ast.AST) -> list[str]:
    """Return what a statement defines, or what an expression calls."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute):
            return [called.attr]
        return [called.id] if isinstance(called, ast.Name) else []
    return []


def blame(path: Path, error: BaseException, function: Callable[..., Any]) -> str:
    """Return ":LINE: WHO" for an error that a policy raised on an image."""
    if not isinstance(function, Adapter):
        return f"{where(path, error)}: augment"
    op = function.failing_op(error)
    line = where(path, error) or line_of(path, *([op] if op else []), *NAMES)
    return f"{line}: {op or NAMES[0]} ({function.library})"
