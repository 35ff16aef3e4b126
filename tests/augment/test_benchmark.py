"""scripts/bench_augment runs as it stands and leaves nobody out in silence."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ALWAYS = ("uda, compiled", "torchvision v1, PIL", "copy uint8")


@pytest.mark.slow
def test_the_race_runs(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "scripts/bench_augment.py", "--quick", "--batch", "64",
            "--csv", str(tmp_path / "race.csv"),
        ],
        cwd=PROJECT, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "best per-image library" in done.stdout
    assert "two threads" in done.stdout
    with (tmp_path / "race.csv").open(newline="") as stream:
        rows = {row["contender"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 18
    for name, row in rows.items():
        said = row["note"].startswith(("missing:", "fails:", "needs two CPUs"))
        assert said or float(row["median"]) > 0, name
    assert all(float(rows[name]["median"]) > 0 for name in ALWAYS)


@pytest.mark.slow
def test_torch_alone_on_a_named_device():
    words = ["--quick", "--batch", "64", "--device", "cpu:0"]
    done = subprocess.run(
        [sys.executable, "scripts/bench_augment.py", *words],
        cwd=PROJECT, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert "uda, torch on cpu:0" in done.stdout
