"""Versions, hardware and command line of this process, for env.json and `uda env`.

Neither user names nor the home folder appear: people paste this into reports.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uda
from uda.cores import usable_cores

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "Pillow",
    "tensorboard",
    "numba",
    "scikit-learn",
)


def describe_environment(command: Sequence[str] | None = None) -> dict[str, Any]:
    """Return versions, system, compute devices, git state and command line.

    Imports torch, to learn its threads and devices.

    Args:
        command: the command line; that of this process when None.
    """
    words = sys.argv if command is None else command
    return {
        "uda": uda.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": _system(),
        "compute": _compute(),
        "git": _git(),
        "command": [anonymous(word) for word in words],
    }


def anonymous(text: str) -> str:
    """Replace the home folder by ``~`` and the user's name in paths by USER."""
    home = os.path.expanduser("~")  # noqa: PTH111  (Path.home raises without one)
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|\\|$)", "~", text)
    text = re.sub(r"(/home/|/Users/)[^/]+", r"\1USER", text)
    user = _user()
    if user:
        text = re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "USER", text)
    return text


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _system() -> dict[str, Any]:
    memory = _memory_gib()
    return {
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "cpus_usable": usable_cores(),
        "memory_gib": None if memory is None else round(memory, 1),
    }


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or "unknown"


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        return None


def _compute() -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "cuda": torch.version.cuda,
        "gpus": [],
    }
    if torch.cuda.is_available():
        facts["gpus"] = [
            f"{torch.cuda.get_device_name(index)}, "
            f"{torch.cuda.get_device_properties(index).total_memory / 2**30:.0f} GiB"
            for index in range(torch.cuda.device_count())
        ]
    elif torch.backends.mps.is_available():
        facts["gpus"] = ["Apple MPS"]
    return facts


def _git() -> dict[str, Any] | None:
    """Commit of uda's own checkout; None for an installed package.

    A package inside a virtual environment inside some other repository must
    not be given that repository's commit, hence the look at tracked files.
    """
    source = Path(uda.__file__).resolve()
    tracked = _run_git(source.parent, "ls-files", "--error-unmatch", source.name)
    commit = _run_git(source.parent, "rev-parse", "HEAD")
    if tracked is None or commit is None:
        return None
    changed = _run_git(source.parent, "status", "--porcelain", "-uno", "--", ".")
    return {"commit": commit, "changed": bool(changed)}


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
