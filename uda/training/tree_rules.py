"""What a class tree does not combine with, refused before training starts."""

from __future__ import annotations

from uda.errors import UsageError
from uda.training.config import RunConfig

Rule = tuple[bool, str]

_METHODS = ("uda", "fixmatch", "supervised")


def refuse_with_tree(config: RunConfig) -> None:
    """Raise a UsageError where a class tree would not do what it says."""
    model = config.model
    if model.tree is None and model.good_class is None:
        if model.independent:
            raise UsageError(
                "--independent has no effect without a tree (--tree or --good-class)"
            )
        return
    flag = "--tree" if model.tree is not None else "--good-class"
    why = next((text for applies, text in _rules(config) if applies), None)
    if why is not None:
        raise UsageError(f"{flag} does not combine: {why}")


def _rules(config: RunConfig) -> list[Rule]:
    model, settings = config.model, config.supervised
    unlabeled = config.semi_supervised
    consistency = config.consistency
    return [
        (
            model.tree is not None and model.good_class is not None,
            "--good-class is a tree of its own; give one of the two",
        ),
        (
            config.method not in _METHODS,
            f"--method {config.method} decides once per image, a tree at every node; "
            f"choose one of {', '.join(_METHODS)}",
        ),
        (
            settings.loss != "cross-entropy",
            f"--loss {settings.loss} looks at one decision per image, a tree has "
            "several; keep cross-entropy",
        ),
        (
            unlabeled and consistency.balanced_head != "none",
            f"--balanced-head {consistency.balanced_head} is a second head of all "
            "classes at once, which knows no tree",
        ),
        (
            unlabeled and consistency.class_floor is not None,
            "--class-floor sets thresholds by class, a tree decides by node; "
            "--threshold holds at every node",
        ),
        (
            model.independent and model.layer_decay not in (None, 1.0),
            "--layer-decay counts the stages of one network, --independent trains "
            "several",
        ),
    ]
