"""Several labels per image: what else is set by it, and what does not combine.

Called with the configuration, like the rules of ``effects``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uda.errors import UsageError
from uda.training.config import RunConfig

Rule = tuple[bool, str]

METHODS = ("uda", "fixmatch", "supervised")
# What goes beyond one label per image has no meaning with several: annealing knows
# one true class, and the texture teacher names one.
PRESET: dict[str, Any] = {
    "supervised.tsa": "none",
    "consistency.texture_weight": 0.0,
}


def preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``--multi-label`` sets where the user says nothing else."""
    return PRESET if given.get("data.multi_label") else {}


def refuse_with_multi_label(config: RunConfig) -> None:
    """Raise a UsageError where several labels would not do what an option says."""
    if not config.data.multi_label:
        if config.supervised.loss == "asymmetric":
            raise UsageError(
                "--loss asymmetric weighs yes and no of each class and needs "
                "--multi-label; with one label per image take --loss focal"
            )
        return
    rules = (*_rules(config), *_supervised_rules(config), *_unlabeled_rules(config))
    why = next((text for applies, text in rules if applies), None)
    if why is not None:
        raise UsageError(f"--multi-label does not combine: {why}")


def _rules(config: RunConfig) -> list[Rule]:
    data = config.data
    return [
        (
            config.method not in METHODS,
            f"--method {config.method} is made for one class per image; choose one of "
            f"{', '.join(METHODS)}",
        ),
        (
            config.model.tree is not None or config.model.good_class is not None,
            "a tree of classes (--tree, --good-class) leads to one class per image",
        ),
        (
            data.tiles is not None,
            "--tiles joins tiles against one background class, and here an image "
            "without a class is the background",
        ),
        (
            data.pseudo_labels is not None,
            "pseudo-labels of generations name one class per image",
        ),
        (
            config.loop.patience is not None,
            "--patience judges by a confusion matrix, which several labels do not have",
        ),
    ]


def _supervised_rules(config: RunConfig) -> list[Rule]:
    settings = config.supervised
    return [
        (
            settings.loss in ("focal", "ldam"),
            f"--loss {settings.loss} looks at one true class per image; take "
            "cross-entropy (one yes-or-no question per class) or asymmetric, the "
            "focal loss of several labels",
        ),
        (
            settings.loss == "asymmetric" and settings.class_weights != "none",
            "--loss asymmetric weighs yes and no by itself; leave --class-weights out",
        ),
        (
            settings.class_weights == "effective",
            "--class-weights effective is defined for one class per image; take "
            "inverse or sqrt, the weights of the yes",
        ),
        (
            settings.reweight_from > 0,
            "--reweight-from delays the weights of classes, here there are weights of "
            "the yes, which count from the start",
        ),
        (
            settings.logit_adjustment != "none",
            f"--logit-adjustment {settings.logit_adjustment} takes out a prior that "
            "sums to 1 over classes; take --class-weights, or the thresholds that are "
            "fitted for each class",
        ),
        (
            settings.tsa != "none",
            f"--tsa {settings.tsa} leaves out images whose one true class is known; "
            "--loss asymmetric plays down what is easy",
        ),
    ]


def _unlabeled_rules(config: RunConfig) -> list[Rule]:
    if not config.semi_supervised:
        return []
    settings = config.consistency
    return [
        (
            settings.balanced_head != "none",
            f"--balanced-head {settings.balanced_head} balances classes that exclude "
            "each other",
        ),
        (
            settings.class_floor is not None,
            "--class-floor lowers the confidence for one side alone; --threshold holds "
            "for yes and no of every class",
        ),
        (
            settings.prior is not None,
            "--prior sums to 1 over classes, several labels do not",
        ),
        (settings.debias, "--debias (CDMAD) is defined on a softmax"),
        (
            settings.entropy_weight > 0,
            "--entropy-weight is the entropy of one class per image",
        ),
        (
            settings.texture_weight > 0,
            "consistency.texture_weight: the texture teacher names one class per image",
        ),
    ]
