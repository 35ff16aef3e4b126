"""Run folders: numbered, never overwritten, found again."""

from __future__ import annotations

import pytest

from uda.errors import CheckpointError, UsageError
from uda.run.layout import create_run, open_run, progress


def test_a_second_run_gets_the_next_number(tmp_path):
    names = [create_run(tmp_path / "runs", "train").path.name for _ in range(3)]
    assert names == ["train", "train2", "train3"]
    assert (tmp_path / "runs" / "latest").resolve().name == "train3"


@pytest.mark.parametrize("name", ["../x", "a/b", "", "latest", ".."])
def test_a_run_name_is_a_plain_folder_name(tmp_path, name):
    with pytest.raises(UsageError, match="--name"):
        create_run(tmp_path, name)


def test_open_run_follows_latest_and_refuses_other_folders(tmp_path):
    run = create_run(tmp_path / "runs", "train")
    run.config.write_text("method: uda\n")
    assert open_run(tmp_path / "runs").path == run.path.resolve()
    with pytest.raises(CheckpointError, match="no run here"):
        open_run(tmp_path)


def test_a_folder_that_is_not_there_is_told_with_the_runs_beside_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such folder; give .*runs/train"):
        open_run(tmp_path / "tain")
    for _ in range(6):
        create_run(tmp_path, "train").config.write_text("method: uda\n")
    with pytest.raises(CheckpointError, match=r"train, .*train5 and 1 more$") as told:
        open_run(tmp_path / "tain")
    assert "latest" not in str(told.value)


def test_status_holds_facts_and_refuses_unknown_states(tmp_path):
    run = create_run(tmp_path, "a")
    run.write_status("interrupted", step=7, reason="SIGTERM")
    assert run.read_status()["step"] == 7
    with pytest.raises(ValueError, match="state"):
        run.write_status("almost")


def test_the_step_of_a_run_at_work_is_a_lower_bound():
    assert progress({"state": "running", "step": 3, "steps": 9}) == (
        "step 3 or later of 9"
    )
    assert progress({"state": "failed", "step": 3}) == "step 3 of ?"
