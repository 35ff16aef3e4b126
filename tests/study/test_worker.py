"""A cell that cannot be finished is a row with its error; a full disk ends all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from tests.study.fakes import FakeStudy, right
from uda.errors import TrainingError
from uda.files import read_json
from uda.study import worker
from uda.study.run import tasks_of
from uda.study.worker import run_cell


@pytest.fixture
def task(tmp_path):
    study = FakeStudy(tmp_path / "out")
    study.add("a", right(1.0))
    task = tasks_of(study.folder, study.request, study.plan)[0]
    task.cell.row_file(study.folder).unlink()
    return task


def raising(error):
    def train(task):
        raise error

    return train


def test_an_error_is_a_row_and_its_trace_a_file(task, monkeypatch):
    monkeypatch.setattr(worker, "_train", raising(TrainingError("the loss is NaN")))
    row = run_cell(task)
    assert row["error"] == "TrainingError: the loss is NaN"
    assert read_json(task.cell.row_file(task.study)) == row
    trace = task.cell.folder(task.study) / "error.txt"
    assert "Traceback" in trace.read_text()


def test_a_full_disk_ends_the_study(task, monkeypatch):
    monkeypatch.setattr(worker, "_train", raising(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        run_cell(task)
    assert not task.cell.row_file(task.study).exists()


def test_importing_the_worker_loads_no_numbers_library():
    """Threads are set before numpy counts the cores."""
    code = "import sys, uda.study.worker; print({'numpy', 'torch'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def test_a_worker_ends_when_its_study_is_gone():
    code = (
        "import os, time\n"
        "from uda.study.worker import start_worker\n"
        f"start_worker({os.getpid() + 10**7})\n"  # no such parent
        "assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "time.sleep(30)\n"
        "print('alive')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], timeout=20, check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")
