"""What several labels per image do not combine with is refused in a sentence."""

from __future__ import annotations

import pytest

from uda.errors import UsageError
from uda.training.configure import build_config
from uda.training.multilabel_rules import METHODS, preset

SEVERAL = {"data.multi_label": True}
FULL = {"supervised.sampling_power": 1.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "flexmatch"}, "--method flexmatch is made for one class"),
        ({"method": "freematch"}, "--method freematch"),
        ({"method": "softmatch"}, "--method softmatch"),
        ({"method": "pseudo-label"}, "--method pseudo-label"),
        ({"method": "pi-model"}, "--method pi-model"),
        ({"method": "mean-teacher"}, "--method mean-teacher"),
        ({"method": "texture"}, "--method texture"),
        ({"model.tree": "tree.yaml"}, "a tree of classes"),
        ({"model.good_class": "Good"}, "a tree of classes"),
        ({"data.tiles": (2, 2), "data.background": "Good"}, "--tiles joins"),
        ({"data.pseudo_labels": "p.csv"}, "pseudo-labels of generations"),
        ({"loop.patience": 3, "loop.eval_every": 10}, "--patience judges"),
        ({"supervised.loss": "focal"}, "take cross-entropy"),
        ({"supervised.loss": "ldam", **FULL}, "take cross-entropy"),
        ({"supervised.class_weights": "effective", **FULL}, "inverse or sqrt"),
        (
            {
                "supervised.loss": "asymmetric",
                "supervised.class_weights": "inverse",
                **FULL,
            },
            "leave --class-weights out",
        ),
        (
            {
                "supervised.class_weights": "inverse",
                "supervised.reweight_from": 0.5,
                **FULL,
            },
            "--reweight-from delays",
        ),
        ({"supervised.logit_adjustment": "loss", **FULL}, "--logit-adjustment loss"),
        ({"supervised.tsa": "log"}, "--tsa log leaves out"),
        ({"consistency.balanced_head": "abc", **FULL}, "--balanced-head abc"),
        ({"consistency.class_floor": 0.5}, "--class-floor"),
        ({"consistency.prior": {"A": 0.5, "B": 0.5}}, "--prior sums to 1"),
        ({"consistency.debias": True}, "--debias"),
        (
            {"consistency.entropy_weight": 0.1, "consistency.weak_pass": "joint"},
            "--entropy-weight",
        ),
        ({"consistency.texture_weight": 0.5}, "the texture teacher"),
    ],
)
def test_what_does_not_combine_is_refused(given, message):
    with pytest.raises(
        UsageError, match=f"--multi-label does not combine: .*{message}"
    ):
        build_config({**SEVERAL, **given})


@pytest.mark.parametrize("method", METHODS)
def test_what_combines_is_taken(method):
    config = build_config({**SEVERAL, "method": method})
    assert config.supervised.tsa == "none"
    assert config.consistency.texture_weight == 0
    build_config({**SEVERAL, "method": method, "supervised.loss": "asymmetric"})
    build_config({**SEVERAL, "supervised.class_weights": "sqrt", **FULL})


def test_one_label_per_image_is_as_before():
    assert preset({}) == preset({"data.multi_label": False}) == {}
    assert build_config({}).supervised.tsa == "log"
    with pytest.raises(UsageError, match=r"--loss asymmetric .* needs --multi-label"):
        build_config({"supervised.loss": "asymmetric"})
