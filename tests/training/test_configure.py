"""The configuration: strict keys, precedence, and no option without effect."""

from __future__ import annotations

import pytest

from uda.errors import UsageError
from uda.training.config import RunConfig, flatten, known_keys
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.presets import RECIPES


def test_flags_beat_the_file_and_the_file_beats_the_recipe():
    assert build_config({"recipe": "paper"}).loop.batch == 64
    file = {"recipe": "paper", "loop.batch": 16, "optimizer.lr": 0.5}
    config = build_config({"loop.batch": 8}, file)
    assert (config.loop.batch, config.optimizer.lr) == (8, 0.5)
    assert config.consistency.unlabeled_ratio == 7  # still the recipe's


@pytest.mark.parametrize(
    ("key", "hint"),
    [("consistency.treshold", "consistency.threshold"), ("loop.step", "loop.steps")],
)
def test_a_misspelt_key_gets_a_hint(key, hint):
    with pytest.raises(UsageError, match=hint):
        build_config({key: 1})


def test_a_bad_value_names_the_key_and_the_value():
    with pytest.raises(UsageError, match=r"consistency\.threshold.*1\.5"):
        build_config({"consistency.threshold": 1.5})


@pytest.mark.parametrize(
    "given",
    [
        {"method": "supervised", "consistency.threshold": 0.9},
        {"method": "supervised", "views.strong": "uda"},
        {"method": "texture", "optimizer.lr": 0.1},
        {"method": "texture", "model.name": "small"},
        {"consistency.weight": 0, "consistency.temperature": 0.3},
        {"supervised.tsa": "none", "supervised.tsa_share": 0.5},
        {"optimizer.name": "adamw", "optimizer.momentum": 0.8},
        {"optimizer.schedule": "one-cycle", "optimizer.warmup_steps": 5},
        {"data.split": "s.csv", "data.labels_per_class": 5},
        {"consistency.weak_pass": "ema", "consistency.entropy_weight": 0.1},
        {"consistency.weak_pass": "joint", "consistency.teacher_flips": "both"},
    ],
)
def test_an_option_without_effect_is_an_error(given):
    with pytest.raises(UsageError, match="no effect"):
        build_config(given)


def test_yaml_round_trip_is_complete(tmp_path):
    config = build_config({"data.root": "x", "loop.steps": 7, "data.size": (32, 48)})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert build_config({}, read_config_file(path)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loop: {steps: 3, steps: 4}", "twice"),
        ("loop: [", "not valid YAML"),
        ("- 1", "keys and values"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"mine.yaml.*{message}|{message}"):
        read_config_file(path)


def test_recipes_use_known_keys_and_the_papers_numbers():
    for recipe in RECIPES.values():
        assert set(recipe) <= set(known_keys())
    paper = build_config({"recipe": "paper"})
    assert paper.consistency.temperature == 0.4
    assert paper.consistency.threshold == 0.8
    assert paper.supervised.tsa == "none"
    assert paper.supervised.sampling_power == 1
    assert (paper.loop.ema_decay, paper.loop.ema_warmup) == (0.9999, False)
    assert (paper.loop.batch, paper.consistency.unlabeled_ratio) == (64, 7)
    assert (paper.consistency.start_share, paper.consistency.ramp_share) == (0, 0)
    assert paper.consistency.weak_pass == "joint"
    assert (paper.views.weak, paper.views.strong) == ("flip-crop", "uda")
    optimizer = paper.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 0.03, 0.9)
    assert (optimizer.weight_decay, optimizer.warmup_steps) == (5e-4, 0)
    assert optimizer.schedule == "cosine-7-16"
    assert (paper.model.name, paper.loop.steps) == ("wrn-28-2", 500_000)
    assert isinstance(paper, RunConfig)


@pytest.mark.parametrize(
    "file",
    [
        {"method": "supervised", "consistency.threshold": 0.9},
        {"optimizer.name": "adamw", "optimizer.momentum": 0.8},
        {"method": "texture", "optimizer.lr": 0.1},
    ],
)
def test_a_key_of_a_file_that_cannot_act_is_an_error(file):
    with pytest.raises(UsageError, match="no effect"):
        build_config({}, file)


@pytest.mark.parametrize(
    "flags",
    [
        {"method": "supervised"},
        {"method": "texture"},
        {"method": "mean-teacher"},
        {"recipe": "paper"},
        {"consistency.threshold": 0.9, "data.labels_per_class": 5},
        {"consistency.prior": {"a": 0.9, "b": 0.1}, "consistency.refinery": "darp"},
    ],
)
def test_the_complete_record_of_a_run_stays_loadable(flags, tmp_path):
    """With what the run settled when it began: split, steps, threads, evaluations."""
    config = build_config(flags)
    data = config.data.model_copy(update={"split": "run/split.csv"})
    loop = config.loop.model_copy(update={"steps": 77, "eval_every": 7, "threads": 2})
    model = config.model.model_copy(update={"frozen_steps": 0, "layer_decay": 1.0})
    config = config.model_copy(update={"data": data, "loop": loop, "model": model})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert build_config({}, read_config_file(path)) == config


def test_a_file_is_held_to_itself_and_not_to_the_flags():
    """The baseline of a run: its own file with another method."""
    file = {"consistency.threshold": 0.9, "loop.batch": 16}
    config = build_config({"method": "supervised"}, file)
    assert (config.method, config.loop.batch) == ("supervised", 16)


def test_a_changed_copy_leaves_the_rest_alone():
    config = build_config({"loop.batch": 8, "data.root": "d"})
    other = config.changed({"loop.workers": 3, "data.size": (32, 48), "seed": 7})
    flat, new = (flatten(one.model_dump()) for one in (config, other))
    assert {key for key in flat if flat[key] != new[key]} == {
        "loop.workers", "data.size", "seed",
    }  # fmt: skip
    assert (other.loop.batch, other.loop.workers, other.data.root) == (8, 3, "d")
    assert config.changed({}) == config
