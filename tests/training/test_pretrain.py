"""The warm start on texture: what it teaches, what it may see, how it resumes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import QUICK
from tests.training.test_loop import StopAt, same, weights
from uda.errors import TrainingError, UsageError
from uda.models.weights import load_backbone_weights
from uda.training import pretrain as module
from uda.training.build import build_state, model_spec
from uda.training.configure import build_config
from uda.training.described import describe, filling, typical_of
from uda.training.launch import resume
from uda.training.length import (
    Length,
    Pace,
    _description_cost,
    fix_length,
    steps_within,
)
from uda.training.monitor.progress import Progress
from uda.training.plan import time_words
from uda.training.prepare import build_parts
from uda.training.pretrain import (
    pretrain,
    pretrained_trunk,
    save_trunk,
    targets_of,
)
from uda.training.split import find_split
from uda.training.state import checkpoint_paths, load_newest
from uda.training.stop import StopRequest
from uda.training.texture import TextureTeacher


@pytest.fixture
def prepared(surfaces, monkeypatch):
    """Return (config, parts) of a run with a warm start of 12 steps."""
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    keys = {
        **QUICK,
        "data.root": str(surfaces / "data"),
        "data.unlabeled": (str(surfaces / "more"),),
        "model.pretrain_steps": 12,
    }
    config = build_config(keys)
    catalog, split, _ = find_split(config)
    parts = build_parts(config, catalog, split)
    return fix_length(config, Length(), parts), parts


def fresh(config, parts):
    return build_state(config, model_spec(config, parts), torch.device("cpu")).model


@pytest.mark.parametrize("framed", [False, True])
def test_what_the_teacher_has_described_is_not_described_again(
    quick, monkeypatch, framed
):
    """Nor does it change a bit: the same descriptions by another way."""
    keys = {"model.pretrain_steps": 2, "consistency.texture_weight": 0.5}
    monkeypatch.setattr("uda.training.described.FRAMED", -1 if framed else 2)
    asked = []

    def spy(*words, **options):
        asked.append(options)
        return describe(*words, **options)

    monkeypatch.setattr(module, "describe", spy)
    folder, _ = quick(keys)
    # Images that are all framed alike have no texture that could be taken over.
    assert len(asked) == framed
    monkeypatch.setattr(TextureTeacher, "described", None)
    other, _ = quick(keys)
    assert len(asked) == 2 * framed + (not framed)
    assert same(weights(folder), weights(other))


def test_targets_are_deviations_of_the_descriptions(prepared):
    _, parts = prepared
    found = targets_of(parts).numpy().astype(np.float64)
    plain = describe(parts, parts.training_rows, typical_of(parts)).astype(float)
    for column in range(0, plain.shape[1], 7):
        values = plain[:, column]
        spread = np.sqrt(((values - values.mean()) ** 2).mean())
        expected = np.clip((values - values.mean()) / spread, -3, 3) if spread else 0
        np.testing.assert_allclose(found[:, column], expected, atol=1e-3)
    assert np.abs(found).max() <= 3


def test_a_step_is_the_gradient_of_the_stated_loss(prepared, monkeypatch):
    """One step of plain SGD from the same start, written out."""
    config, parts = prepared
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"pretrain_steps": 1})}
    )
    model, other = fresh(config, parts), fresh(config, parts)
    plain_sgd = lambda params, **_: torch.optim.SGD(params, lr=0.1)  # noqa: E731
    monkeypatch.setattr(torch.optim, "AdamW", plain_sgd)
    pretrain(config, parts, model, stop=StopRequest())
    stream = module._stream(config, parts)
    batch = stream(0)
    with module.seeded(config.seed, "pretrain-head"):
        head = torch.nn.Linear(other.backbone.num_features, targets_of(parts).shape[1])
    features = other.backbone(
        (batch.labeled / 255 - other.mean.view(1, -1, 1, 1))
        / other.std.view(1, -1, 1, 1)
    )
    wrong = head(features) - targets_of(parts)[batch.targets]
    (wrong**2).mean().backward()
    rate = 0.1 / 20  # the first of twenty warm-up steps
    for one, two in zip(
        model.backbone.parameters(), other.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(one, two - rate * two.grad, rtol=1e-4, atol=1e-6)
    for name, value in model.head.state_dict().items():
        assert torch.equal(value, other.head.state_dict()[name]), "the head is left"


def test_it_learns_what_it_is_taught(prepared):
    config, parts = prepared
    longer = config.model.model_copy(update={"pretrain_steps": 60})
    few = pretrain(config, parts, fresh(config, parts), stop=StopRequest())
    config = config.model_copy(update={"model": longer})
    many = pretrain(config, parts, fresh(config, parts), stop=StopRequest())
    assert 0.1 < many < 1
    assert many > few


def test_it_never_looks_at_validation_images(prepared):
    config, parts = prepared
    poisoned = np.array(parts.pool.images)
    poisoned[parts.validation] = 255 - poisoned[parts.validation]
    other = replace(parts, pool=replace(parts.pool, images=poisoned))
    one, two = fresh(config, parts), fresh(config, other)
    pretrain(config, parts, one, stop=StopRequest())
    pretrain(config, other, two, stop=StopRequest())
    assert same(one.state_dict(), two.state_dict())


def test_workers_change_nothing(prepared):
    config, parts = prepared
    loop = config.loop.model_copy(update={"workers": 2})
    one, two = fresh(config, parts), fresh(config, parts)
    pretrain(config, parts, one, stop=StopRequest())
    pretrain(config.model_copy(update={"loop": loop}), parts, two, stop=StopRequest())
    assert same(one.state_dict(), two.state_dict())


@pytest.mark.parametrize("at", [5, 15])
def test_stopped_within_or_after_it_a_run_resumes_bit_for_bit(quick, at):
    keys = {"model.pretrain_steps": 12}
    whole, _ = quick(keys, name="whole")
    part, summary = quick(keys, name="part", stop=StopAt(at))
    assert summary.state == "interrupted"
    begun = json.loads((part / "status.json").read_text())
    assert ("pretrain_explained" in begun) == (at > 12)
    resume(part, workers=None, console=Progress(), stop=StopRequest())
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(part, name))


def test_it_moves_the_run_and_is_told(quick):
    with_it, _ = quick({"model.pretrain_steps": 12}, name="with")
    without, _ = quick({}, name="without")
    assert not same(weights(with_it), weights(without))
    status = json.loads((with_it / "status.json").read_text())
    text = (with_it / "metrics.jsonl").read_text()
    assert "loss/supervised" in text
    assert -1 < status["pretrain_explained"] < 1
    assert "pretrain_explained" not in json.loads((without / "status.json").read_text())


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 6),
        ({"method": "supervised"}, 0),
        ({"recipe": "paper", "loop.steps": 6}, 0),
        ({"data.tiles": (2, 2), "data.background": "Good"}, 0),
        ({"model.pretrain_steps": 3}, 3),
    ],
)
def test_length_where_nobody_said_it(prepared, changes, steps):
    config, parts = prepared
    keys = {**QUICK, "data.root": config.data.root, **changes}
    if "model.pretrain_steps" not in changes:
        keys.pop("model.pretrain_steps")
    if changes.get("method") == "supervised":
        keys = {k: v for k, v in keys.items() if not k.startswith("consistency.")}
    if changes.get("recipe") == "paper":
        keys.pop("consistency.texture_weight")
    fixed = fix_length(build_config(keys), Length(), parts)
    assert fixed.model.pretrain_steps == steps


def test_a_budget_counts_it(prepared, monkeypatch):
    config, parts = prepared
    monkeypatch.setattr("uda.training.length.seconds_per_step", lambda *_: 0.5)
    monkeypatch.setattr("uda.training.length._table_cost", lambda *_: 0.0)
    free = config.model.model_copy(update={"pretrain_steps": 0})
    asked = config.model.model_copy(update={"pretrain_steps": None})
    found = {}
    for name, model in (("without", free), ("with", asked)):
        changed = config.model_copy(update={"model": model})
        fixed = fix_length(changed, Length(budget=30.0), parts)
        found[name] = fixed.loop.steps, fixed.model.pretrain_steps
    assert found["without"][1] == 0
    # At 0.5 s each, 30 s * 11/12 cannot hold more than 55 of both together.
    assert 1 <= found["with"][0] <= 55 < found["without"][0]
    assert found["with"][0] == found["with"][1]


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"model.weights": "w.safetensors"}, "--weights"),
        ({"model.name": "resnet18", "model.pretrained": True}, "--pretrained"),
        ({"data.tiles": (2, 2), "data.background": "Good"}, "--tiles"),
        ({"data.size": (6, 6)}, "8 pixels"),
    ],
)
def test_what_it_does_not_combine_with_is_refused(keys, word):
    with pytest.raises(UsageError, match=f"--pretrain-steps does not.*{word}"):
        build_config({"model.pretrain_steps": 5, **keys})


def test_raw_weights_of_the_warm_start_are_on_disk(quick):
    folder, _ = quick({"model.pretrain_steps": 12})
    assert load_file(str(folder / "weights" / "raw.safetensors"))


def test_the_trunk_by_itself_is_that_of_a_run_before_its_first_step(prepared, quick):
    config, parts = prepared
    keys = {"model.pretrain_steps": 12, "loop.save_every": 6}
    folder, _ = quick(keys, stop=StopAt(13))  # after the first step
    newest, _begun = checkpoint_paths(folder / "checkpoints")
    newest.unlink()
    saved, warnings = load_newest(folder / "checkpoints")
    assert (saved["step"], warnings) == (0, [])
    model, explained = pretrained_trunk(config, parts, stop=StopRequest())
    status = json.loads((folder / "status.json").read_text())
    assert explained == status["pretrain_explained"]
    begun = {k: v for k, v in saved["model"].items() if k.startswith("backbone.")}
    own = {f"backbone.{k}": v for k, v in model.backbone.state_dict().items()}
    assert same(begun, own)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_file_holds_the_trunk_and_nothing_else(prepared, tmp_path, channels_last):
    config, parts = prepared
    loop = config.loop.model_copy(update={"channels_last": channels_last})
    config = config.model_copy(update={"loop": loop})
    model, _ = pretrained_trunk(config, parts, stop=StopRequest())
    path = tmp_path / "trunk.safetensors"
    save_trunk(model, path)
    assert same(load_file(path), model.backbone.state_dict())
    other = fresh(config, parts).backbone
    report = load_backbone_weights(other, path)
    assert (report.missing, report.unexpected, report.ignored) == ((), (), ())
    for name in report.matched:
        assert torch.equal(other.state_dict()[name], model.backbone.state_dict()[name])
    with pytest.raises(UsageError, match="not overwritten"):
        save_trunk(model, path)


def test_a_run_from_the_file_goes_on_like_one_with_the_warm_start(
    prepared, quick, tmp_path
):
    config, parts = prepared
    model, _ = pretrained_trunk(config, parts, stop=StopRequest())
    save_trunk(model, tmp_path / "trunk.safetensors")
    whole, _ = quick({"model.pretrain_steps": 12}, name="whole")
    keys = {
        "model.weights": str(tmp_path / "trunk.safetensors"),
        "model.frozen_steps": 0,
        "model.layer_decay": 1.0,
    }
    shared, _ = quick(keys, name="shared")
    # How many batches batch norm has seen is not taken over from a file.
    learnt = [k for k in weights(whole) if not k.endswith("num_batches_tracked")]
    for name in ("raw", "ema"):
        one, two = weights(whole, name), weights(shared, name)
        assert one.keys() == two.keys()
        assert [k for k in learnt if not torch.equal(one[k], two[k])] == []


def test_stopped_it_has_no_share(prepared):
    config, parts = prepared
    told = []
    _, explained = pretrained_trunk(
        config, parts, stop=StopAt(4), progress=lambda *state: told.append(state)
    )
    assert explained is None
    assert told == [("pretraining", done, 12) for done in (1, 2, 3)]


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"method": "texture"}, "no trunk"),
        ({"model.good_class": "Good", "model.independent": True}, "--independent"),
        ({"model.pretrain_steps": 0}, "one step or more"),
        ({}, "one step or more"),
    ],
)
def test_what_has_no_trunk_is_refused(prepared, keys, word):
    _, parts = prepared
    with pytest.raises(UsageError, match=word):
        pretrained_trunk(build_config(keys), parts, stop=StopRequest())


def test_a_dry_run_does_two_steps_of_it(quick, monkeypatch):
    seen = []
    plain = module._Step.__call__

    def spy(self, number, batch):
        seen.append(number)
        return plain(self, number, batch)

    monkeypatch.setattr(module._Step, "__call__", spy)
    quick({"model.pretrain_steps": 50}, dry_run=True)
    assert seen == [0, 1]


def test_with_its_teacher_a_stopped_run_resumes_bit_for_bit(quick):
    """The default: what texture says is worked out anew, and is the same."""
    keys = {"model.pretrain_steps": 6, "consistency.texture_weight": 0.5}
    whole, _ = quick(keys, name="whole")
    part, _ = quick(keys, name="part", stop=StopAt(10))
    resume(part, workers=1, console=Progress(), stop=StopRequest())
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(part, name))


def test_a_step_is_timed_without_a_trace_in_the_model(prepared):
    config, parts = prepared
    model = fresh(config, parts)
    before = {k: v.clone() for k, v in model.named_parameters()}
    assert module.seconds_per_step(config, parts, model) > 0
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None


@pytest.mark.parametrize("method", ["uda", "supervised"])
def test_a_warm_start_that_was_asked_for_is_in_the_time(prepared, monkeypatch, method):
    config, parts = prepared
    monkeypatch.setattr("uda.training.length.seconds_per_step", lambda *_: 11.0)
    model = config.model.model_copy(update={"pretrain_steps": 50})
    asked = config.model_copy(update={"model": model, "method": method})
    # 50 steps of 11 s, and a twelfth of all goes to evaluations.
    assert time_words(asked, Length(), parts, 1).startswith("takes about 10:0")
    assert " 1:00:" in time_words(asked, Length(), parts, 6)


def test_a_budget_counts_the_description_of_all_images(prepared, monkeypatch):
    config, parts = prepared
    found = []
    for seconds in (0.0, 15.0):
        monkeypatch.setattr(
            "uda.training.length._description_cost", lambda *_, seconds=seconds: seconds
        )
        # The same pace both times, however busy the machine is.
        monkeypatch.setattr("uda.training.length.seconds_per_step", lambda *_: 0.1)
        monkeypatch.setattr("uda.training.length._averaged", lambda *_: 0.1)
        monkeypatch.setattr("uda.training.length._table_cost", lambda *_: 0.0)
        free = config.model.model_copy(update={"pretrain_steps": 0})
        changed = config.model_copy(
            update={
                "model": free,
                "consistency": config.consistency.model_copy(
                    update={"texture_weight": 0.5}
                ),
            }
        )
        found.append(fix_length(changed, Length(budget=30.0), parts).loop.steps)
    # 30 s, then 15 s, at 0.1 s * 12/11.
    assert found == pytest.approx([275, 137], abs=1)
    cost = _description_cost(config, parts)
    assert 0 < cost < 60


def test_a_budget_that_the_warm_start_alone_eats_is_refused(prepared, monkeypatch):
    config, parts = prepared
    monkeypatch.setattr("uda.training.length.seconds_per_step", lambda *_: 10.0)
    with pytest.raises(UsageError, match="12 steps of warm start"):
        fix_length(config, Length(budget=30.0), parts)


@pytest.mark.parametrize("asked", [None, 0])
def test_a_budget_that_describing_alone_eats_is_refused(prepared, monkeypatch, asked):
    config, parts = prepared
    model = config.model.model_copy(update={"pretrain_steps": asked})
    config = config.model_copy(update={"model": model})
    pace = Pace(0.5, 0.5, before=400.0)
    monkeypatch.setattr("uda.training.length.pace_of", lambda *_: pace)
    with pytest.raises(UsageError, match=r"300 s do not hold describing .*400 s"):
        steps_within(config, parts, 300.0)
    assert steps_within(config, parts, 410.0) == (10 if asked is None else 20)


def test_a_description_is_timed_with_all_threads_busy(prepared):
    """128 images of up to 192 x 192 pixels each, and no more than 1024 in memory."""
    _, parts = prepared
    assert filling(parts, threads=1) == 128
    assert filling(parts, threads=4) == 512
    assert filling(parts, threads=64) == 1024


def test_memory_that_does_not_suffice_is_told_with_the_way_out(quick, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("uda.training.pretrain._Step.__call__", full)
    with pytest.raises(TrainingError, match="--batch"):
        quick({"model.pretrain_steps": 5})


def test_a_supervised_run_shows_strong_views_in_its_warm_start():
    keys = {"method": "supervised", "views.strong": "uda"}
    assert build_config({**keys, "model.pretrain_steps": 5}).views.strong == "uda"
    with pytest.raises(UsageError, match="no unlabelled branch"):
        build_config(keys)
