"""`uda compare` from the command line: a study, its verdict, and its end."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest
from click.testing import CliRunner

from tests.study.conftest import finished, home, run, words_of
from tests.study.fakes import FakeStudy, right
from uda.cli import main
from uda.errors import UsageError
from uda.run.layout import open_run
from uda.study.finish import finish
from uda.study.request import read_study
from uda.study.run import run_study
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest
from uda.training.summary import Summary

__all__ = ["finished", "home"]  # fixtures


def test_a_study_prints_table_and_verdict_and_writes_a_page(finished):
    study, output = finished
    assert "difference" in output
    assert "Everything is compared to tiny" in output
    assert "To train in the end:" in output
    assert any(word in output for word in ("luck", "can show", "gains", "loses"))
    for name in ("table.csv", "verdict.txt", "verdict.html", "study.json"):
        assert (study / name).is_file()
    assert "escape" in (study / "table.csv").read_text()


def test_a_study_is_told_again_and_keeps_its_reference_and_good_class(
    finished, tmp_path
):
    study = tmp_path / "s"
    shutil.copytree(finished[0], study, symlinks=True)
    for words in (["--reference", "texture"], []):
        code, output = run(study, *words)
        assert code == 0
        assert "Everything is compared to texture" in output
        assert "escape" in output
    assert run(study, "--reference", "tixture")[0] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", 3], "--steps has no effect on a study"),
        (["--jobs", 1], "--jobs has no effect on a study"),
        (["--finish", "nobody"], "not a strategy of the study"),
        (["--project", "runs"], "--project has no effect without --finish"),
    ],
)
def test_of_a_study_little_can_be_asked(finished, words, told, tmp_path):
    code, output = run(finished[0], *words)
    assert code == 2
    assert told in output


def test_a_misspelt_study_is_told(tmp_path):
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "studdy")])
    assert done.exit_code == 3
    assert "studdy: there is no such folder" in done.stderr


@pytest.mark.parametrize("name", ["tiny, thresholds", "tiny, flips", "texture"])
def test_the_end_is_a_normal_run_on_all_but_the_test_part(
    finished, home, name, tmp_path, monkeypatch
):
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    code, output = run(finished[0], "--finish", name, "--project", tmp_path)
    assert code == 0, output
    folder = open_run(tmp_path)
    assert folder.read_status()["state"] == "done"
    assert (folder.path / "split.csv").read_text() == (home / "split.csv").read_text()
    if name == "texture":
        assert not folder.decision.exists()
        return
    assert folder.read_status()["steps"] == 3
    rule = json.loads(folder.decision.read_text())["rule"]
    assert rule.get("tta") == ("flips" if "flips" in name else None)
    assert bool(rule["bias"]) == ("thresholds" in name)


def test_without_a_name_the_verdict_s_choice_is_trained(
    finished, home, tmp_path, monkeypatch
):
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    code, output = run(finished[0], "--finish", "--project", tmp_path)
    assert code == 0
    assert "Training " in output
    assert open_run(tmp_path).read_status()["state"] == "done"


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("tiny, thresholds", "uda tune {run} --bias"),
        ("tiny, flips", "uda evaluate {run} --tta flips"),
        ("tiny", ""),
    ],
)
def test_an_interrupted_end_says_what_is_left(
    finished, tmp_path, monkeypatch, capsys, name, left
):
    folder = tmp_path / "mine"  # and no `latest`: another run may have taken it
    monkeypatch.setattr(
        "uda.study.finish.launch",
        lambda *_, **__: Summary("interrupted", 1, {}, folder),
    )
    request, plan = read_study(finished[0])
    found = finish(
        request, plan, name, project=tmp_path, console=Progress(), stop=StopRequest()
    )
    assert found is None
    output = capsys.readouterr().out
    assert left.format(run=folder) in output
    assert bool(output) == bool(left)


def test_where_no_cell_has_an_answer_nothing_is_chosen(tmp_path):
    study = FakeStudy(tmp_path / "s")
    every = [(repeat, fold) for repeat in (0, 1) for fold in range(3)]
    study.add("a", right(1.0), lacking=every)
    study.add("b", right(1.0), lacking=every)
    end = ["--project", tmp_path / "runs", "--finish"]
    for words in ([], end, [*end, "b"]):
        code, output = run(study.folder, *words)
        assert code == 1
        assert "no cell has an answer" in output
        assert "TrainingError: NaN" in output
        assert "To train in the end" not in output
    assert not (tmp_path / "runs").exists()


def test_a_reference_that_failed_is_not_chosen(tmp_path):
    study = FakeStudy(tmp_path / "s")
    every = [(repeat, fold) for repeat in (0, 1) for fold in range(3)]
    study.add("a", right(1.0), lacking=every)
    study.add("b", right(1.0))
    code, output = run(study.folder)
    assert code == 0
    assert "all its cells failed; compare to another with --reference" in output
    assert "To train in the end" not in output
    assert run(study.folder, "--finish", "--project", tmp_path / "runs")[0] == 2
    assert "To train in the end: b" in run(study.folder, "--reference", "b")[1]


def test_another_split_file_ends_the_study_s_way(finished, home, tmp_path):
    shutil.copytree(finished[0], tmp_path / "s", symlinks=True)
    path = tmp_path / "s" / "study.json"
    path.write_text(path.read_text().replace('"split_sha256": "', '"split_sha256": "0'))
    code, output = run(tmp_path / "s", "--finish", "texture", "--project", tmp_path)
    assert code == 2
    assert "not the split file of the study" in output


@pytest.mark.parametrize("then", ["gone", "redrawn"])
def test_a_finished_study_is_read_without_the_user_s_split(
    finished, home, tmp_path, then
):
    study, split = tmp_path / "s", tmp_path / "split.csv"
    shutil.copytree(finished[0], study, symlinks=True)
    path = study / "study.json"
    path.write_text(path.read_text().replace(str(home / "split.csv"), str(split)))
    if then == "redrawn":
        lines = (home / "split.csv").read_text().splitlines()
        kept = [line for line in lines if ",labeled," not in line]
        split.write_text("\n".join(kept) + "\n")
    code, output = run(study)
    assert code == 0, output
    assert (study / "table.csv").read_text() == (finished[0] / "table.csv").read_text()
    code, output = run(study, "--finish", "texture", "--project", tmp_path)
    assert code == 2
    assert "not the split file of the study" in output
    request, plan = read_study(study)
    with pytest.raises(UsageError, match="not the split file of the study"):
        run_study(study, request, plan, on_cell=print, note=print)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--budget", "9s"], "one of --steps and --budget"),
        (["--good-class", "Gold"], "'Gold' is not a class"),
        (["--reference", "nobody"], "not a strategy"),
        (["--strategy", "tiny"], "without --learning-curve"),
        (["--learning-curve", "0.5,1"], "which strategy?"),
        (["--learning-curve", "a,b"], "are no shares"),
        (["--learning-curve", "1", "--strategy", "tiny"], "two or more shares"),
        (["--finish"], "is no study"),
        (["--project", "runs"], "--project has no effect without --finish"),
    ],
)
def test_what_makes_no_sense_costs_no_training(home, tmp_path, change, told):
    code, output = run(*words_of(home, tmp_path / "out"), *change)
    assert code == 2
    assert told in output
    assert not (tmp_path / "out" / "cells").exists()


def test_an_out_that_is_a_file_is_named(home, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    code, output = run(*words_of(home, out))
    assert code == 3
    assert f"{out}: File exists" in output
    assert "Choose another --out" in output
    assert out.read_text() == "mine"


def test_a_disk_that_is_full_ends_the_study_with_a_way_out(home, tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("uda.study.request.write_json", full)
    code, output = run(*words_of(home, tmp_path / "out"))
    assert code == 3
    assert "study.json: No space left on device" in output
    assert "the same command goes on where it was" in output


def test_a_study_that_cannot_be_written_is_told_all_the_same(
    finished, tmp_path, monkeypatch
):
    study = tmp_path / "share"
    shutil.copytree(finished[0], study, symlinks=True)
    names = ("table.csv", "verdict.txt", "verdict.json", "verdict.html")
    before = [(study / name).read_bytes() for name in names]

    def read_only(path, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("uda.files.atomic_path", read_only)
    code, output = run(study, "--reference", "texture")
    assert code == 0, output
    assert "Everything is compared to texture" in output
    assert "Read-only file system, so table.csv" in output
    assert "Written to" not in output
    assert [(study / name).read_bytes() for name in names] == before


def test_what_has_to_be_said(home, tmp_path):
    assert "give DATA" in run()[1]
    assert "--split and --out" in run(home / "data")[1]
    whole = [home / "data", "--split", home / "split.csv", "--out", tmp_path / "o"]
    assert "one of --steps and --budget" in run(*whole)[1]


def test_a_budget_is_a_time_for_each_training(home, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    words = words_of(home, tmp_path / "out")
    at = words.index("--steps")
    words[at : at + 2] = ["--budget", "0.3s"]
    words[words.index("--repeats") + 1] = 1
    code, output = run(*words)
    assert code == 0, output
    rows = [
        json.loads(path.read_text())
        for path in (tmp_path / "out").glob("cells/tiny/*/row.json")
    ]
    assert len(rows) == 2
    assert all(row["steps"] >= 1 for row in rows)
    assert "0.3 s, warm start included" in output


def test_a_length_without_a_network_is_refused(home, tmp_path):
    words = [*words_of(home, tmp_path / "out"), "--strategy", "texture"]
    code, output = run(*words, "--learning-curve", "0.5,1")
    assert code == 2
    assert "no strategy trains a network" in output


def test_the_built_in_list_is_printed():
    code, output = run("--show-strategies")
    assert code == 0
    assert "supervised: --method supervised" in output
    assert "compare" in main.list_commands(None)


def test_a_learning_curve(home, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(home / "cache"))
    words = [*words_of(home, tmp_path / "out"), "--strategy", "tiny"]
    code, output = run(*words, "--learning-curve", "0.5,1")
    assert code == 0, output
    assert "50% of the labels" in output
    assert "twice the labels" in output.lower()
    assert len(list((tmp_path / "out").glob("cells/*/*/row.json"))) == 8
    code, output = run(tmp_path / "out")
    assert code == 0
    assert "50% of the labels" in output
