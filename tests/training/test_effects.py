"""Options that cannot act are refused: each rule, and nothing beyond."""

from __future__ import annotations

import numpy as np
import pytest

from uda.data.sampling import LabeledSampler
from uda.errors import UsageError
from uda.training.configure import build_config, merged
from uda.training.presets import RECIPES
from uda.training.settled import recorded


@pytest.mark.parametrize(
    "given",
    [
        {"views.weak": "weak"},
        {"consistency.weak_pass": "joint", "consistency.refresh_steps": 5},
        {"consistency.weak_pass": "ema", "consistency.texture_weight": 0.5},
        {"method": "texture", "consistency.weight": 1.0},
        {"supervised.sampling_power": 1.0, "supervised.max_repeat": 3.0},
        {"recipe": "paper", "supervised.max_repeat": 3.0},
        {"method": "supervised", "loop.batch_norm": "separate"},
        {"consistency.weight": 0.0, "loop.batch_norm": "separate"},
    ],
)
def test_a_key_without_effect_is_named(given):
    with pytest.raises(UsageError, match="has no effect"):
        build_config(given)


def test_two_corrections_of_the_prior_are_refused():
    weights = {"supervised.class_weights": "inverse"}
    with pytest.raises(UsageError, match="--sampling-power 1"):
        build_config(weights)
    config = build_config({**weights, "supervised.sampling_power": 1.0})
    assert config.supervised.class_weights == "inverse"


@pytest.mark.parametrize(
    "given",
    [
        {"consistency.weak_pass": "joint", "views.weak": "weak"},
        {"consistency.weak_pass": "joint", "consistency.entropy_weight": 0.1},
        {"supervised.tsa": "log", "supervised.tsa_share": 0.3},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.8},
        {"supervised.sampling_power": 0.9, "supervised.max_repeat": 3.0},
        {"supervised.max_repeat": 3.0},
        {"loop.batch_norm": "separate"},
        {"method": "supervised", "loop.batch_norm": "joint"},
        {"method": "supervised", "loop.batch_norm": "frozen"},
    ],
)
def test_a_key_with_effect_is_taken(given):
    build_config(given)


@pytest.mark.parametrize(
    "idle",
    [
        {"supervised.sampling_power": 1.0, "supervised.max_repeat": 3.0},
        {"method": "supervised", "loop.batch_norm": "separate"},
    ],
)
def test_a_run_that_began_with_an_idle_key_goes_on(tmp_path, idle):
    """An earlier version took it; what a run wrote is read as it is."""
    path = tmp_path / "config.yaml"
    path.write_text(merged(idle).to_yaml())
    assert recorded(path) == merged(idle)


@pytest.mark.parametrize("counts", [(7, 3), (90, 9, 1), (50, 50), (1, 2, 400)])
@pytest.mark.parametrize("cap", [1.0, 1.5, 8.0])
def test_a_cap_on_repeats_is_idle_where_all_images_come_alike(counts, cap):
    labels = np.repeat(np.arange(len(counts)), counts)
    plain, capped = (
        LabeledSampler(labels, batch=8, seed=0, power=1.0, max_repeat=most)
        for most in (None, cap)
    )
    assert all((plain.indices(s) == capped.indices(s)).all() for s in range(50))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_the_recipes_themselves_are_consistent(recipe):
    build_config({"recipe": recipe})


PLAIN = {"supervised.sampling_power": 1.0}
POST_HOC = {**PLAIN, "supervised.logit_adjustment": "post-hoc"}
TWICE = {"supervised.allow_double_correction": True}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {**PLAIN, "method": "flexmatch", "consistency.balanced_head": "acr"},
            "own targets",
        ),
        (
            {**PLAIN, "consistency.balanced_head": "acr", "consistency.debias": True},
            "auxiliary head decides",
        ),
        (
            {**POST_HOC, **TWICE, "consistency.balanced_head": "abc"},
            "auxiliary head decides",
        ),
        ({**POST_HOC, "consistency.debias": True}, "keep one"),
        ({**POST_HOC, "consistency.prior": {"a": 0.9, "b": 0.1}}, "takes out of its"),
        (
            {"consistency.debias": True, "consistency.prior": {"a": 0.9, "b": 0.1}},
            "--debias takes out of its answers",
        ),
        ({"method": "mean-teacher", "consistency.weak_pass": "joint"}, "pi-model"),
        ({"method": "mean-teacher", "consistency.weak_pass": "no-grad"}, "pi-model"),
        ({"method": "pi-model", "consistency.weak_pass": "ema"}, "mean-teacher"),
        ({"method": "pi-model", "consistency.weak_pass": "table"}, "mean-teacher"),
    ],
)
@pytest.mark.parametrize("from_file", [False, True])
def test_an_option_that_takes_the_place_of_another_is_refused(
    given, message, from_file
):
    flags, file = ({}, given) if from_file else (given, None)
    with pytest.raises(UsageError, match=message):
        build_config(flags, file)
    baseline = build_config({"method": "supervised"}, {**given, "method": "uda"})
    assert baseline.method == "supervised"


def test_the_network_that_makes_targets_in_the_step_keeps_its_bias():
    given = {"consistency.weak_pass": "ema", "consistency.debias": True}
    with pytest.raises(UsageError, match="--weak-pass table"):
        build_config(given)
