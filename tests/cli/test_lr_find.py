"""``uda lr-find``: a suggestion, a plot, and nothing else."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.support.surfaces import write_surfaces
from uda.cli import main


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    return write_surfaces(tmp_path_factory.mktemp("surfaces"))


@pytest.fixture
def quick(surfaces, tmp_path, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    monkeypatch.chdir(tmp_path)
    return (
        "lr-find", surfaces / "data", "--imgsz", 16, "--batch", 8, "--group", "none",
        "--threads", 1, "--steps", 40,
    )  # fmt: skip


def test_it_names_the_rate_to_train_with(quick, tmp_path):
    done = call(*quick)
    assert done.exit_code == 0, done.output
    assert "Train with --lr " in done.stdout
    assert sorted(p.name for p in (tmp_path / "runs" / "lr-find").iterdir()) == [
        ".uda-output", "lr.csv", "lr.png",
    ]  # fmt: skip
    again = call(*quick)
    first, second = done.stdout.splitlines(), again.stdout.splitlines()
    assert first[1:] == second[1:]
    assert "runs/lr-find2/lr.png" in second[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs"]


def test_flags_of_the_training_are_taken_and_checked(quick, tmp_path):
    done = call(*quick, "--optimizer", "sgd", "--out", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "mine" / "lr.png").is_file()
    assert "not empty" in call(*quick, "--out", tmp_path / "mine").stderr
    assert "uda lr-find DATA" in call("lr-find").stderr


def test_a_method_without_a_learning_rate_is_refused(quick, surfaces, tmp_path):
    data = surfaces / "data"
    done = call("lr-find", data, "--method", "texture", "--group", "none")
    assert done.exit_code == 2
    assert "--method texture has no learning rate" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--threshold", "0.3"], "consistency.threshold"),
        (["--lr", "5", "--patience", "3"], "loop.patience, optimizer.lr"),
        (["--set", "model.pretrain_steps=50"], "model.pretrain_steps"),
        (["--tsa", "exp"], "supervised.tsa"),
    ],
)
def test_what_cannot_change_the_test_is_refused(quick, tmp_path, words, named):
    done = call(*quick, *words)
    assert done.exit_code == 2
    assert f"{named}: no effect on a range test" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_file_of_settings_for_the_training_may_say_more(quick, tmp_path):
    (tmp_path / "mine.yaml").write_text("consistency: {threshold: 0.9}\n")
    done = call(*quick, "--config", tmp_path / "mine.yaml")
    assert done.exit_code == 0, done.output
