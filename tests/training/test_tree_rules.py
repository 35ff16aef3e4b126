"""A class tree beside every option that it does not combine with."""

from __future__ import annotations

import pytest

from uda.errors import UsageError
from uda.training.configure import build_config
from uda.training.presets import METHODS

GOOD = {"model.good_class": "Good"}
PLAIN = {"supervised.sampling_power": 1.0}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        *(
            ({**GOOD, "method": name}, f"--method {name} decides once per image")
            for name in (*METHODS, "texture")
            if name != "fixmatch"
        ),
        ({**GOOD, "model.tree": "tree.yaml"}, "one of the two"),
        ({**GOOD, "supervised.loss": "focal"}, "--loss focal looks at one decision"),
        ({**GOOD, **PLAIN, "supervised.loss": "ldam"}, "--loss ldam looks at one"),
        ({**GOOD, **PLAIN, "consistency.balanced_head": "abc"}, "knows no tree"),
        ({**GOOD, **PLAIN, "consistency.balanced_head": "acr"}, "knows no tree"),
        ({**GOOD, "consistency.class_floor": 0.5}, "a tree decides by node"),
        (
            {**GOOD, "model.independent": True, "model.layer_decay": 0.5},
            "--independent trains several",
        ),
        ({"model.independent": True}, "no effect without a tree"),
    ],
)
def test_refused_with_a_sentence(keys, message):
    with pytest.raises(UsageError, match=message):
        build_config(keys)


def test_a_file_of_settings_is_held_to_it_too():
    with pytest.raises(UsageError, match="--tree does not combine"):
        build_config({}, {"model.tree": "tree.yaml", "method": "softmatch"})


@pytest.mark.parametrize(
    "keys",
    [
        GOOD,
        {**GOOD, "method": "fixmatch", "model.independent": True},
        {**GOOD, "method": "supervised", "supervised.tsa_form": "quota"},
        {"model.tree": "tree.yaml", "consistency.debias": True},
        {**GOOD, **PLAIN, "supervised.logit_adjustment": "loss"},
        {**GOOD, **PLAIN, "supervised.class_weights": "inverse"},
    ],
)
def test_allowed(keys):
    build_config(keys)
