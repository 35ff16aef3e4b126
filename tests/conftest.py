"""Shared fixtures: real data where it is present, small synthetic images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One image file per test would drown a two-core machine in thread switches; beside
# another process of tests, one thread each is a core each.
os.environ.setdefault(
    "OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
)

PROJECT = Path(__file__).resolve().parent.parent


def real_data_root() -> Path | None:
    """The folder with neu/, magnetic_tile/ and elpv/, or None."""
    named = os.environ.get("UDA_DATA")
    candidates = [Path(named)] if named else [PROJECT.parent / "shared" / "data"]
    for candidate in candidates:
        if (candidate / "neu" / "manifest.csv").is_file():
            return candidate
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = real_data_root()
    if root is None:
        pytest.skip("real data is missing: set UDA_DATA to the folder that holds neu/")
    return root
