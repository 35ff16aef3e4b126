"""A run in words: nobody's home folder, every state, what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.reports import make_run
from uda.data.splits import Split
from uda.reporting import runtext
from uda.reporting.rundata import read_run
from uda.run.layout import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("run"))
    return read_run(RunFolder(made.folder), images=False)


def test_the_command_is_whole_and_anonymous(run):
    home = str(Path.home())
    words = [f"{home}/venv/bin/uda", "train", f"{home}/my parts", "--seed", "3"]
    found = replace(
        run, environment={"command": words}, config_text=f"root: {home}/x\n"
    )
    told = runtext.repeat(found)
    assert told["command"] == "uda train '~/my parts' --seed 3"
    assert told["config"] == ["root: ~/x"]
    module = replace(run, environment={"command": ["/a/uda/__main__.py", "demo"]})
    assert runtext.repeat(module)["command"] == "python -m uda demo"
    assert runtext.repeat(replace(run, environment={}))["environment"] == []


def test_states(run):
    assert runtext.state(run) == ""
    going = replace(run, status={"state": "running", "step": 3, "steps": 9})
    assert runtext.state(going).startswith(
        "The run is running, at step 3 or later of 9"
    )
    assert "unknown" in runtext.state(replace(run, status={}))


def test_validation_without_an_evaluation(run):
    told = runtext.validation(run)
    assert told[0].startswith("On validation images it found 50% (3 of 6; 3.9% to 96%)")
    assert runtext.validation(replace(run, history=[])) == []
    assert runtext.validation(replace(run, split=None)) == []


def test_what_is_not_there_is_told(run):
    assert runtext.training(replace(run, history=[])) == "No step was logged."
    assert runtext.training(run).startswith("40 steps in ")
    assert "on request" in runtext.no_views(run, images=False)
    assert "no picture of views" in runtext.no_views(run, images=True)
    assert "method uda" in runtext.no_branch(run)
    assert "likeliest class" in runtext.no_decision(run)
    assert runtext.subtitle(replace(run, kind="texture")).startswith(
        "method uda, texture model, 16×16 pixels"
    )


def test_the_last_step_is_not_sold_as_what_is_handed_over(run):
    for status in (
        {"handed_over": "texture"},
        {"handed_over": "warm start"},
        {"handed_over": "final", "stopped": 90, "chosen": 60},
    ):
        told = runtext.validation(replace(run, status=status))
        assert "which is not what is handed over, found on validation" in told[0]
    same = replace(run, status={"handed_over": "final", "stopped": 90, "chosen": 90})
    assert runtext.validation(same)[0].startswith("On validation images it found")


def test_photos_of_one_part_make_the_interval_wider(run):
    rows = [
        replace(row, group=f"{row.part}{row.label}{n % 2}")
        for n, row in enumerate(run.split.rows)
    ]
    told = runtext.validation(replace(run, split=Split(tuple(rows))))
    assert told[0].startswith("On validation images it found 50% (3 of 6; 1.3% to 99%)")
