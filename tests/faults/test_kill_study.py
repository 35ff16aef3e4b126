"""Kill -9 a study at any moment; the same command goes on and gives the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.study.conftest import home, words_of
from uda.evaluation.predict import Predictions

__all__ = ["home"]  # a fixture
pytestmark = pytest.mark.slow


def start(home, out, jobs=2):
    environment = {**os.environ, "UDA_CACHE": str(home / "cache")}
    words = [*map(str, words_of(home, out)), "--jobs", str(jobs)]
    return subprocess.Popen(
        [sys.executable, "-m", "uda", "compare", *words], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def rows(out):
    return {p: p.stat().st_mtime_ns for p in out.glob("cells/*/*/row.json")}


def members(session):
    """Processes of a session that are alive, by /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def test_a_killed_study_goes_on(home, tmp_path):
    whole = start(home, tmp_path / "whole", jobs=1)
    out, chance = tmp_path / "killed", random.Random(4)
    kept: dict = {}
    for number in range(3):
        process = start(home, out)
        deadline = time.monotonic() + 240
        while len(rows(out)) < 4 * number + 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(rows(out)) >= 4 * number + 2  # it was at work
        time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        deadline = time.monotonic() + 10
        while members(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert members(process.pid) == []  # no orphan trains on
        now = rows(out)
        assert {path: now[path] for path in kept} == kept
        kept = now
    assert start(home, out).wait(timeout=300) == 0
    now = rows(out)
    assert len(now) == 16
    assert {path: now[path] for path in kept} == kept
    assert whole.wait(timeout=300) == 0
    assert kept
    assert not [p for p in now if "error" in json.loads(p.read_text())]
    answered = list(out.glob("cells/*/*/predictions.npz"))
    assert len(answered) == 16
    for path in answered:
        one = Predictions.load(path)
        other = Predictions.load(tmp_path / "whole" / path.relative_to(out))
        np.testing.assert_array_equal(one.log_probs, other.log_probs)
