"""Kill -9, SIGTERM and Ctrl-C at random steps of a real process; then resume."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.surfaces import write_surfaces

pytestmark = pytest.mark.slow

STEPS = 40
FLAGS = [
    "--imgsz", "24", "--group", "none", "--batch", "8", "--mu", "2", "--threads", "1",
    "--steps", str(STEPS), "--eval-every", "20", "--save-every", "3",
    "--start-share", "0.3", "--set", "consistency.refresh_steps=5",
    "--set", "loop.log_every=1", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = write_surfaces(tmp_path_factory.mktemp("kill"))
    uda(folder, *train(folder, "whole")).wait(timeout=300)
    whole = status(folder / "runs" / "whole")
    assert whole["state"] == "done"
    assert whole["trust"] > 0  # or the unlabelled branch would not be tested
    return folder


def uda(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "UDA_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "uda", *words], env=environment, cwd=folder
    )


def train(folder: Path, name: str) -> list[str]:
    return [
        "train", str(folder / "data"), "--unlabeled", str(folder / "more"),
        "--project", str(folder / "runs"), "--name", name, *FLAGS,
    ]  # fmt: skip


def status(run: Path) -> dict:
    return json.loads((run / "status.json").read_text())


def wait_for_step(run: Path, step: int) -> None:
    """Return once the run's journal has reached a step."""
    journal = run / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if journal.exists():
            lines = journal.read_bytes().splitlines()
            if len(lines) > step:
                return
        time.sleep(0.01)
    raise AssertionError(f"{run}: step {step} never came")


def same_weights(one: Path, two: Path) -> bool:
    for name in ("raw", "ema"):
        a = load_file(str(one / "weights" / f"{name}.safetensors"))
        b = load_file(str(two / "weights" / f"{name}.safetensors"))
        if a.keys() != b.keys() or any(not torch.equal(a[k], b[k]) for k in a):
            return False
    return True


@pytest.mark.parametrize("number", range(5))
def test_kill_9_and_resume_gives_the_same_weights(home, number):
    step = random.Random(1000 + number).randrange(4, STEPS - 4)
    name = f"killed{number}"
    run = home / "runs" / name
    process = uda(home, *train(home, name))
    wait_for_step(run, step)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    # An even number resumes with another count of workers.
    words = ["resume", str(run), "--quiet", "--workers", str(number % 2 * 2)]
    assert uda(home, *words).wait(timeout=300) == 0
    assert status(run)["state"] == "done"
    assert same_weights(home / "runs" / "whole", run)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_saves_and_says_so(home, number, code):
    name = f"signalled{code}"
    run = home / "runs" / name
    process = uda(home, *train(home, name))
    wait_for_step(run, 8)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    assert status(run)["state"] == "interrupted"
    assert uda(home, "resume", str(run), "--quiet").wait(timeout=300) == 0
    assert same_weights(home / "runs" / "whole", run)


def test_a_signal_during_the_imports_leaves_no_half_run(home):
    process = uda(home, *train(home, "early"))
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    run = home / "runs" / "early"
    assert not run.exists() or status(run)["state"] == "interrupted"


def test_two_processes_cannot_share_a_run(home):
    from uda.errors import UsageError
    from uda.files import folder_lock
    from uda.training.launch import resume
    from uda.training.monitor.progress import Progress
    from uda.training.stop import StopRequest

    run = home / "runs" / "whole"
    with folder_lock(run), pytest.raises(UsageError, match="another process"):
        resume(run, workers=None, console=Progress(), stop=StopRequest())


def test_a_killed_study_goes_on_at_its_generation_and_step(home):
    for name in ("study", "killed-study"):
        words = [*train(home, name), "--generations", "2"]
        process = uda(home, *words)
        if name == "study":
            assert process.wait(timeout=300) == 0
            continue
        wait_for_step(home / "runs" / name / "gen1", 20)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    study = home / "runs" / "killed-study"
    assert uda(home, "resume", str(study), "--quiet").wait(timeout=300) == 0
    for name in ("gen0", "gen1"):
        assert same_weights(home / "runs" / "study" / name, study / name)


@pytest.mark.parametrize("place", ["folds/r0-f0", "folds/r0-f1", "."])
def test_kill_9_in_any_training_of_a_run_with_folds(home, place):
    whole = home / "runs" / "folded"
    words = ["--folds", "2"]
    if not (whole / "status.json").is_file():
        assert uda(home, *train(home, "folded"), *words).wait(timeout=300) == 0
    name = f"folded-{place.rpartition('-')[2].strip('.')}-killed"
    run = home / "runs" / name
    process = uda(home, *train(home, name), *words)
    wait_for_step(run / place, 11)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert uda(home, "resume", str(run), "--quiet").wait(timeout=300) == 0
    assert same_weights(whole, run)
    one, other = (r / "out_of_fold.csv" for r in (whole, run))
    assert one.read_bytes() == other.read_bytes()
