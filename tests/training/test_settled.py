"""A new run from the record of another one; a run from its own record."""

from __future__ import annotations

import pytest

from uda.errors import UsageError
from uda.training.configure import build_config
from uda.training.settled import read_settings, recorded, settle, told_by


@pytest.fixture
def record(tmp_path):
    """Write the record of a run: record(flags, steps) -> path."""

    def write(flags, steps=None):
        config = build_config(flags)
        config = settle(config, steps or config.loop.steps)
        data = config.data.model_copy(update={"split": "run/split.csv"})
        loop = config.loop.model_copy(update={"threads": 2})
        path = tmp_path / "config.yaml"
        config = config.model_copy(update={"data": data, "loop": loop})
        path.write_text(config.to_yaml())
        return path, config

    return write


def again(path, flags, steps=None):
    config = build_config(flags, read_settings(path))
    return settle(config, steps or config.loop.steps)


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"method": "mean-teacher", "loop.batch": 8},
        {"model.weights": "w.safetensors"},
        {"model.pretrain_steps": 30, "loop.eval_every": 7},
        {"loop.patience": 3, "optimizer.schedule": "constant"},
        {"recipe": "paper"},
    ],
)
def test_a_record_repeats_its_run(record, flags):
    path, config = record(flags, 230)
    assert recorded(path) == config
    assert again(path, {}) == config


@pytest.mark.parametrize(
    "method", ["mean-teacher", "pi-model", "fixmatch", "pseudo-label", "supervised"]
)
def test_another_method_has_its_own_defaults(record, method):
    path, _ = record({"loop.batch": 8}, 230)
    found = again(path, {"method": method})
    usual = settle(build_config({"method": method}), 230)
    assert found.loop.batch == 8
    assert found.loop.steps == 230
    assert found.consistency == usual.consistency
    assert found.views == usual.views


def test_another_recipe_has_its_own_defaults(record):
    path, _ = record({"consistency.threshold": 0.9})
    found, usual = again(path, {"recipe": "paper"}), build_config({"recipe": "paper"})
    assert found.consistency.threshold == 0.9
    assert found.model.name == usual.model.name
    assert found.optimizer == usual.optimizer
    assert found.loop.steps == usual.loop.steps


def test_what_was_chosen_goes_along_and_what_was_settled_is_settled_anew(record):
    path, config = record({}, 1000)
    assert config.model.pretrain_steps == 1000
    shorter = again(path, {}, steps=300)
    assert shorter.model.pretrain_steps == 300
    assert (shorter.loop.eval_every, shorter.loop.save_every) == (30, 30)
    tuned = again(path, {"model.weights": "w.safetensors"})
    assert (tuned.model.frozen_steps, tuned.model.layer_decay) == (100, 0.7)
    assert tuned.model.pretrain_steps == 0
    path, _ = record({"model.pretrain_steps": 50, "loop.save_every": 20}, 1000)
    chosen = again(path, {}, steps=300)
    assert chosen.model.pretrain_steps == 50
    assert (chosen.loop.eval_every, chosen.loop.save_every) == (30, 20)


def test_from_trained_weights_to_none(record):
    path, _ = record({"model.name": "resnet18", "model.pretrained": True}, 1000)
    plain = again(path, {"model.pretrained": False})
    assert (plain.model.frozen_steps, plain.model.layer_decay) == (0, 1.0)


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        ({"consistency.threshold": 0.9}, {"method": "supervised"}),
        ({"method": "fixmatch"}, {"method": "supervised"}),
        ({"consistency.class_floor": 0.6}, {"method": "supervised"}),
        ({"consistency.unlabeled_ratio": 4}, {"method": "texture"}),
        ({"consistency.debias": True}, {"consistency.weak_pass": "ema"}),
    ],
)
def test_the_record_of_a_run_from_a_record_can_be_read(record, tmp_path, flags, other):
    """As it is, by resuming, and as settings of a third run."""
    path, _ = record(flags, 100)
    config = again(path, other)
    second = tmp_path / "second.yaml"
    second.write_text(config.to_yaml())
    assert recorded(second) == config
    assert again(second, {}) == config


def test_what_cannot_act_beside_the_flags_is_left_out(record):
    path, _ = record({"consistency.threshold": 0.9, "supervised.tsa": "linear"})
    found = again(path, {"method": "supervised"})
    assert found.consistency.threshold == 0.8
    assert found.supervised.tsa == "linear"


@pytest.mark.parametrize(
    "start",
    [
        {"model.weights": "w.safetensors"},
        {"model.pretrained": True, "model.name": "resnet18"},
        {"data.tiles": (2, 2), "data.background": "Good"},
    ],
)
def test_another_start_needs_no_warm_start(record, start):
    path, _ = record({"model.pretrain_steps": 50}, 100)
    assert again(path, start).model.pretrain_steps == 0


def test_a_hand_written_warm_start_is_not_dropped_in_silence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  pretrain_steps: 50\n")
    with pytest.raises(UsageError, match="--pretrain-steps does not combine"):
        build_config({"model.weights": "w.safetensors"}, read_settings(path))
    path.write_text("loop:\n  patience: 3\n")
    kept = build_config({"data.validation": 0}, read_settings(path))
    assert kept.loop.patience == 3  # refused once the parts are known


def test_a_record_of_before_a_key_was_there_is_one(record):
    """As `--group auto` writes it, whose group has no effect beside its split."""
    path, config = record({"data.group": "auto"}, 1000)
    lines = [line for line in path.read_text().splitlines() if "debias" not in line]
    path.write_text("\n".join(lines))
    assert again(path, {}) == config
    baseline = again(path, {"method": "supervised"}, 300)
    assert baseline.model.pretrain_steps == 0
    usual = settle(build_config({"method": "mean-teacher"}), 1000)
    assert again(path, {"method": "mean-teacher"}).consistency == usual.consistency


def test_a_record_without_a_length_has_the_usual_one(record):
    path, _ = record({}, 230)
    lines = [x for x in path.read_text().splitlines() if not x.startswith("  steps:")]
    path.write_text("\n".join(lines))
    usual = build_config({}).loop.steps
    assert again(path, {"method": "supervised"}).loop.steps == usual


def test_what_is_settled(record):
    """In numbers: ten evaluations, a warm start as long as the run, or a tenth."""
    _, config = record({}, 230)
    assert (config.loop.eval_every, config.loop.save_every) == (23, 23)
    assert config.model.pretrain_steps == 230
    assert (config.model.frozen_steps, config.model.layer_decay) == (0, 1.0)
    _, config = record({"model.weights": "w.safetensors", "loop.patience": 3}, 230)
    assert (config.loop.eval_every, config.loop.save_every) == (11, 11)
    assert config.model.pretrain_steps == 0
    assert (config.model.frozen_steps, config.model.layer_decay) == (23, 0.7)


def test_independent_networks_have_no_stages(record):
    flags = {
        "model.weights": "w.safetensors",
        "model.independent": True,
        "model.good_class": "Good",
    }
    path, config = record(flags, 100)
    assert config.model.layer_decay == 1.0
    assert recorded(path) == config
    assert again(path, {}) == config


def test_a_file_without_effect_is_refused_also_about_the_data(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("data:\n  split: s.csv\n  labels_per_class: 5\n")
    with pytest.raises(UsageError, match="labels_per_class has no effect"):
        build_config({}, read_settings(path))


@pytest.mark.parametrize(
    ("hflip", "vflip", "told"),
    [(0.5, 0.5, "both"), (0.5, 0, "horizontal"), (0, 0.1, "vertical"), (0, 0, "none")],
)
def test_targets_are_averaged_over_the_flips_of_the_labelled_view(
    record, tmp_path, hflip, vflip, told
):
    """Where a flip swaps two classes, an average over it names neither."""
    weak = tmp_path / "mine.yaml"
    weak.write_text(f"name: mine\nhflip: {hflip}\nvflip: {vflip}\ncrop_pad: 0.1\n")
    path, config = record({"views.labeled": str(weak)}, 100)
    assert config.consistency.teacher_flips == told
    assert again(path, {}) == config
    assert again(path, {"views.labeled": "weak"}).consistency.teacher_flips == "both"
    other = {"views.weak": str(weak), "consistency.weak_pass": "ema"}
    assert settle(build_config(other), 100).consistency.teacher_flips == told
    assert "consistency.teacher_flips" not in told_by(config)
    chosen = build_config({"consistency.teacher_flips": "none"})
    assert settle(chosen, 100).consistency.teacher_flips == "none"


def test_which_flips_a_program_makes_nobody_can_tell(tmp_path):
    weak = tmp_path / "mine.py"
    weak.write_text("def augment(image, rng):\n    return image\n")
    config = settle(build_config({"views.labeled": str(weak)}), 100)
    assert config.consistency.teacher_flips == "none"


def test_the_flips_of_an_old_record_are_those_of_its_own_view(record, tmp_path):
    """`both` was the default for every view; a moved view lies in the run as a copy."""
    weak = tmp_path / "mine.yaml"
    weak.write_text("name: mine\nhflip: 0.5\ncrop_pad: 0.1\n")
    path, _ = record({"views.labeled": str(weak)}, 100)
    text = path.read_text()
    path.write_text(text.replace("teacher_flips: horizontal", "teacher_flips: both"))
    assert again(path, {}).consistency.teacher_flips == "horizontal"
    path.write_text(text)
    (tmp_path / "policies").mkdir()
    weak.rename(tmp_path / "policies" / "labeled.yaml")
    other = again(path, {"views.labeled": "weak"})
    assert other.consistency.teacher_flips == "both"


def test_flips_that_a_file_names_without_effect_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("consistency: {weak_pass: joint, teacher_flips: both}\n")
    with pytest.raises(UsageError, match="teacher_flips has no effect"):
        build_config({}, read_settings(path))
