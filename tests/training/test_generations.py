"""Generations: only unlabelled images are guessed, and a killed study goes on."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from tests.training.conftest import QUICK
from tests.training.test_loop import StopAt, same, weights
from uda.data.splits import Split
from uda.errors import UsageError
from uda.files import read_json
from uda.run.layout import open_run
from uda.training import generations, length
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.generations import (
    choose_generation,
    generation_config,
    is_study,
    launch_generations,
    resume_generations,
)
from uda.training.length import Length
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest


@pytest.fixture
def study(surfaces, tmp_path, monkeypatch):
    """Run a study: study({"key": value}, num=2) -> (folder, Summary)."""
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))

    def run(changes=None, *, num=2, stop=None, name="s", length=None, **options):
        keys = {
            **QUICK,
            "data.root": str(surfaces / "data"),
            "data.unlabeled": (str(surfaces / "more"),),
            **(changes or {}),
        }
        summary = launch_generations(
            build_config(keys),
            length or Length(steps=6),
            num=num,
            project=tmp_path / "runs",
            name=name,
            console=Progress(),
            stop=StopRequest() if stop is None else stop,
            **options,
        )
        return tmp_path / "runs" / name, summary

    return run


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_dry_run_counts_every_generation(study, tmp_path, capsys):
    _, summary = study(num=3, dry_run=True)
    assert summary.state == "done"
    assert "3 trainings of about 0:" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_every_generation_learns_from_the_one_before_and_from_no_held_out_image(study):
    folder, summary = study(num=3)
    assert summary.state == "done"
    runs = sorted(p.name for p in folder.glob("gen*") if p.is_dir())
    assert runs == ["gen0", "gen1", "gen2"]
    assert not (folder / "gen0" / "pseudo_labels.csv").exists()
    splits = {(folder / name / "split.csv").read_bytes() for name in runs}
    assert len(splits) == 1  # nowhere but in training do they count as labels
    unlabeled = {
        row.path for row in Split.load(folder / "gen0" / "split.csv").part("unlabeled")
    }
    for number in (1, 2):
        guessed = rows(folder / f"gen{number}" / "pseudo_labels.csv")
        names = {row["path"].removeprefix("'") for row in guessed}
        assert guessed
        assert names <= unlabeled
        assert {row["generation"] for row in guessed} == {str(number - 1)}
    facts = json.loads((folder / "generations.json").read_text())
    assert [entry["from"] for entry in facts["chosen"]] == [0, 1]
    told = [entry["balanced_accuracy"] for entry in facts["validation"]]
    statuses = [read_json(folder / name / "status.json") for name in runs]
    assert told == [s["val_ema/balanced_accuracy"] for s in statuses]
    assert open_run(folder).path.name == facts["handed_over"]
    assert open_run(folder.parent).path.name == facts["handed_over"]
    with pytest.raises(UsageError, match="finished"):
        resume_generations(folder, workers=None, console=Progress(), stop=StopRequest())


def test_generations_share_a_budget(study, monkeypatch):
    asked = []

    def within(config, parts, seconds):
        asked.append(seconds)
        return 6

    monkeypatch.setattr(length, "steps_within", within)
    folder, _ = study(num=3, length=Length(budget=30.0))
    assert asked == [10.0]  # timed once, for all
    for number in range(3):
        assert read_json(folder / f"gen{number}" / "status.json")["steps"] == 6


@pytest.mark.parametrize("polls", [4, 9])
def test_stopped_and_resumed_equals_uninterrupted(study, polls):
    whole, _ = study()
    folder, summary = study(stop=StopAt(polls), name="stopped")
    assert summary.state == "interrupted"
    assert is_study(folder)
    resume_generations(folder, workers=2, console=Progress(), stop=StopRequest())
    for name in ("gen0", "gen1"):
        assert same(weights(whole / name, "raw"), weights(folder / name, "raw"))
        assert same(weights(whole / name, "ema"), weights(folder / name, "ema"))
    files = [p / "pseudo_labels1.csv" for p in (whole, folder)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_killed_before_it_began_is_begun_again(study, monkeypatch):
    real = generations.launch

    def killed(*args, **options):
        if options["name"] == "gen1":
            (options["project"] / "gen1").mkdir()
            raise KeyboardInterrupt
        return real(*args, **options)

    whole, _ = study()
    monkeypatch.setattr(generations, "launch", killed)
    with pytest.raises(KeyboardInterrupt):
        study(name="killed")
    monkeypatch.setattr(generations, "launch", real)
    folder = whole.with_name("killed")
    resume_generations(folder, workers=None, console=Progress(), stop=StopRequest())
    assert sorted(p.name for p in folder.glob("gen?*") if p.is_dir()) == [
        *("gen0", "gen1")
    ]
    assert same(weights(whole / "gen1", "ema"), weights(folder / "gen1", "ema"))


def test_a_prior_is_bent_less_from_one_generation_to_the_next(study, monkeypatch):
    prior = {"Good": 0.8, "Rust": 0.1, "Scratch": 0.1}
    folder, _ = study({"consistency.prior": prior}, num=2)
    last = generation_config(folder, 1).consistency.prior
    bent = torch.tensor([0.8, 0.1, 0.1], dtype=torch.float64) ** 0.5
    assert list(last.values()) == pytest.approx((bent / bent.sum()).tolist())
    used = build_config({}, read_config_file(folder / "gen1" / "config.yaml"))
    assert used.consistency.prior == pytest.approx(last)


def test_labels_that_carry_nothing_end_the_study(study, monkeypatch):
    monkeypatch.setattr("uda.training.texture.TextureTeacher.skill", lambda *_: 0.1)
    folder, summary = study({"consistency.texture_weight": 0.5})
    assert summary.state == "done"
    assert not (folder / "gen1").exists()
    facts = json.loads((folder / "generations.json").read_text())
    assert facts["handed_over"] == "gen0"


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(0.5, 0.1)], 0),
        ([(0.5, 0.1), (0.6, 0.1)], 1),
        ([(0.6, 0.1), (0.55, 0.1)], 1),  # within the error: the last
        ([(0.8, 0.1), (0.55, 0.1)], 0),
        ([(0.5, 0.1), (0.9, 0.05), (0.7, 0.1)], 1),
    ],
)
def test_the_last_generation_unless_an_earlier_one_is_clearly_better(found, chosen):
    assert choose_generation(found) == chosen


def test_texture_has_no_generations(study):
    with pytest.raises(UsageError, match="no generations"):
        launch_generations(
            build_config({"method": "texture"}),
            Length(),
            num=2,
            project=None,
            name="x",
            console=Progress(),
            stop=StopRequest(),
        )
