"""Progressive sizes: who sees which size when, what a change does, resumed runs."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.training.conftest import QUICK
from tests.training.test_loop import StopAt, same, weights
from uda.errors import UsageError
from uda.models.classifier import build_classifier
from uda.models.ema import Ema
from uda.training import length, loop, targets
from uda.training.build import model_spec
from uda.training.configfile import read_config_file
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.length import steps_within
from uda.training.monitor.progress import Progress
from uda.training.prepare import Policies, build_parts, build_stream
from uda.training.schedules import consistency_start, size_number, size_starts
from uda.training.sizes import change_size, check, images_at, is_change
from uda.training.split import find_split
from uda.training.step import Moment
from uda.training.stop import StopRequest
from uda.training.teacher import statistics_rows, with_clean_statistics

GROWING = {"data.size": None, "data.sizes": ((8, 8, 0.4), (12, 12, 0.3), (16, 16, 0.3))}
# Of 6 steps: 0 and 1 at 8 pixels, 2 and 3 at 12, 4 and 5 at 16.


def config_of(changes):
    return build_config({k: v for k, v in changes.items() if v is not None})


def test_shares_become_steps():
    config = config_of({**GROWING, "loop.steps": 100})
    assert size_starts(config) == (0, 40, 70)
    assert [size_number(config, step) for step in (0, 39, 40, 69, 70, 99)] == [
        0, 0, 1, 1, 2, 2,
    ]  # fmt: skip
    assert [s for s in range(100) if is_change(config, s)] == [40, 70]
    assert config.data.size == (16, 16)
    assert size_starts(config_of({"loop.steps": 100})) == (0,)


def test_the_average_starts_its_warm_up_again_at_each_size():
    config = config_of({**GROWING, "loop.steps": 100})
    found = [Moment.at(step, config).ema_step for step in (0, 39, 40, 41, 70)]
    assert found == [0, 39, 0, 1, 0]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_stopped_and_resumed_across_a_change_is_the_same(quick, step):
    whole, _ = quick(GROWING)
    folder, summary = quick(GROWING, stop=StopAt(step))
    assert summary.state == "interrupted"
    resume(folder, workers=2, console=Progress(), stop=StopRequest())
    for name in ("raw", "ema"):
        assert same(weights(whole, name), weights(folder, name))


def test_each_step_trains_at_its_size_and_the_last_is_handed_over(quick, monkeypatch):
    seen, tables = [], []
    plain, table = loop.training_step, targets.prediction_table

    def watched(state, batches, *rest):
        views = [getattr(batches[0], name) for name in ("labeled", "weak", "strong")]
        seen.append({view.shape[-1] for view in views if view is not None})
        return plain(state, batches, *rest)

    def counted(model, images, rows, **options):
        tables.append(images.shape[1])
        return table(model, images, rows, **options)

    monkeypatch.setattr(loop, "training_step", watched)
    monkeypatch.setattr(targets, "prediction_table", counted)
    folder, _ = quick({**GROWING, "consistency.refresh_steps": 50})
    assert seen == [{8}, {8}, {12}, {12}, {16}, {16}]
    assert tables == [12, 16]  # the unlabelled branch begins at step 2
    assert json.loads((folder / "model.json").read_text())["preprocessing"]["size"] == [
        16, 16,
    ]  # fmt: skip
    again = build_config({}, read_config_file(folder / "config.yaml"))
    assert again.data.sizes == GROWING["data.sizes"]


@pytest.fixture
def prepared(surfaces, monkeypatch):
    monkeypatch.setenv("UDA_CACHE", str(surfaces / "cache"))
    keys = {
        **QUICK,
        **GROWING,
        "data.root": str(surfaces / "data"),
        "data.unlabeled": (str(surfaces / "more"),),
    }
    config = config_of({**keys, "optimizer.accumulation": 2})
    catalog, split, _ = find_split(config)
    return config, build_parts(config, catalog, split)


def test_the_stream_counts_micro_batches_and_survives_pickling(prepared):
    config, parts = prepared
    stream = build_stream(config, parts, Policies.load(config))
    other = pickle.loads(pickle.dumps(stream))
    for step, side in enumerate([8] * 4 + [12] * 4 + [16] * 4):
        batch = stream(step)
        assert batch.labeled.shape[-2:] == (side, side)
        assert torch.equal(batch.labeled, other(step).labeled)
    assert images_at(config, parts, 1).shape[1] == 8
    assert images_at(config, parts, 5) is parts.pool.images


def test_the_rows_of_all_sizes_are_the_same_images(prepared):
    _, parts = prepared
    for pool in parts.smaller:
        assert pool.records == parts.pool.records
        small = pool.images.mean((1, 2, 3))
        assert np.corrcoef(small, parts.pool.images.mean((1, 2, 3)))[0, 1] > 0.99


def test_a_change_gives_both_models_the_statistics_of_clean_images(prepared):
    config, parts = prepared
    model = build_classifier(model_spec(config, parts))
    state = SimpleNamespace(model=model, ema=Ema(model, 0.9), step=2)
    notes = []
    console = SimpleNamespace(note=notes.append)
    trainer = SimpleNamespace(
        config=config, parts=parts, state=state, writer=SimpleNamespace(console=console)
    )
    rows = statistics_rows(parts.training_rows, config.seed)
    expected = with_clean_statistics(model, parts.smaller[1].images, rows)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    change_size(trainer)
    for changed in (model, state.ema.model):
        after = changed.state_dict()
        for name, value in expected.state_dict().items():
            assert torch.equal(after[name], value), name
    assert any(not torch.equal(before[n], model.state_dict()[n]) for n in before)
    assert notes == ["step 2: images are 12x12 now"]
    assert model.training
    state.step = 3
    change_size(trainer)
    assert len(notes) == 1


def test_frozen_statistics_stay(prepared):
    config, parts = prepared
    frozen = config.loop.model_copy(update={"batch_norm": "frozen"})
    model = build_classifier(model_spec(config, parts))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trainer = SimpleNamespace(
        config=config.model_copy(update={"loop": frozen}),
        parts=parts,
        state=SimpleNamespace(model=model, ema=Ema(model, 0.9), step=2),
        writer=SimpleNamespace(console=Progress()),
    )
    change_size(trainer)
    assert same(before, model.state_dict())


def test_a_budget_times_every_size(prepared):
    config, parts = prepared
    longer = config.loop.model_copy(update={"steps": 60})
    config = config.model_copy(update={"loop": longer})
    assert steps_within(config, parts, 5.0) > 0
    asked = []

    def cost(first):
        asked.append(first)
        return 1.0 + first

    start = consistency_start(config)
    found = length._averaged(cost, config, start)
    begins = sorted({0, start, *size_starts(config)})
    assert asked == begins
    assert len(begins) >= 3
    ends = [*begins[1:], 60]
    shares = [(e - b) / 60 * (1 + b) for b, e in zip(begins, ends, strict=True)]
    assert found == pytest.approx(sum(shares))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**GROWING, "data.size": (16, 16)}, "data.size has no effect"),
        ({"data.sizes": ((8, 8, 0.4), (16, 16, 0.4))}, "add up to 1"),
        ({"data.sizes": ((8, 8, 1.0),)}, "two or more"),
        ({"data.sizes": ((8, 8, 0.0), (16, 16, 1.0))}, "greater than 0"),
        ({"data.sizes": "64:0.4"}, "data.sizes"),
        ({**GROWING, "method": "texture"}, "data.sizes has no effect"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        config_of(changes)


def test_a_run_too_short_for_its_sizes_is_refused():
    check(config_of({**GROWING, "loop.steps": 3}))
    with pytest.raises(UsageError, match="8x8; train longer"):
        check(config_of({**GROWING, "loop.steps": 1}))
