"""Tiles in whole runs, and every refusal of sizes, tiles and patience."""

from __future__ import annotations

import json

import pytest
import torch

from tests.training.test_loop import StopAt, same, weights
from uda.errors import UsageError
from uda.run.bundle import load_bundle
from uda.training.configure import build_config
from uda.training.launch import resume
from uda.training.monitor.progress import Progress
from uda.training.stop import StopRequest

TILES = {"data.size": (8, 8), "data.tiles": (2, 2), "data.background": "Good"}


@pytest.mark.parametrize("join", ["max", "noisy-or"])
def test_a_tiled_run_is_trained_resumed_and_loaded(quick, join):
    changes = {**TILES, "data.tile_join": join}
    whole, summary = quick(changes)
    assert summary.state == "done"
    folder, _ = quick(changes, stop=StopAt(4))
    resume(folder, workers=0, console=Progress(), stop=StopRequest())
    assert same(weights(whole), weights(folder))
    bundle = load_bundle(whole)
    assert bundle.preprocessing.size == (16, 16)
    assert bundle.model.tiles.join == join
    assert bundle.model.tiles.background == 0
    probs = bundle.model(torch.zeros(2, 1, 16, 16, dtype=torch.uint8)).leaf.softmax(1)
    assert torch.allclose(probs.sum(1), torch.ones(2))


def test_tiles_grow_with_sizes(quick):
    sizes = ((4, 4, 0.5), (8, 8, 0.5))
    folder, summary = quick({**TILES, "data.size": None, "data.sizes": sizes})
    assert summary.state == "done"
    description = json.loads((folder / "model.json").read_text())
    assert description["preprocessing"]["size"] == [16, 16]


@pytest.mark.parametrize(
    "changes",
    [
        {"supervised.logit_adjustment": "post-hoc", "supervised.sampling_power": 1.0},
        {"consistency.debias": True},
        {"consistency.weak_pass": "joint"},
        {"consistency.prior": {"Good": 0.8, "Rust": 0.1, "Scratch": 0.1}},
        {"method": "flexmatch"},
        {"loop.precision": "bf16"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_combines_with_tiles_trains(quick, changes):
    _, summary = quick({**TILES, **changes})
    assert summary.state == "done"


def test_an_unknown_background_is_told_the_classes(quick):
    with pytest.raises(UsageError, match=r"'Fine'.*Good, Rust, Scratch"):
        quick({**TILES, "data.background": "Fine"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.tiles": (2, 2)}, "needs --background"),
        ({"data.tiles": (1, 1), "data.background": "Good"}, "leave it out"),
        ({"data.tile_join": "max"}, "not cut into tiles"),
        ({"data.background": "Good"}, "not cut into tiles"),
        ({**TILES, "supervised.loss": "ldam"}, "does not combine with --loss ldam"),
        (
            {**TILES, "supervised.sampling_power": 1.0,
             "consistency.balanced_head": "abc"},
            "does not combine with --balanced-head abc",
        ),
        ({"loop.patience": 3, "data.multi_label": True}, "combine: --patience"),
        ({**TILES, "data.multi_label": True}, "does not combine: --tiles"),
        ({**TILES, "model.good_class": "Good"}, "does not combine with a tree"),
        ({**TILES, "method": "texture"}, "whole images of one size"),
        ({"data.sizes": ((8, 8, 0.5), (9, 9, 0.5)), "data.size": (9, 9)}, "no effect"),
    ],
)  # fmt: skip
def test_what_does_not_combine_is_refused(changes, words):
    if changes.get("supervised.loss") == "ldam":
        changes = {**changes, "supervised.sampling_power": 1.0}
    with pytest.raises(UsageError, match=words):
        build_config(changes)
