"""From defaults, recipe, method, file and flags to one RunConfig, with every rule.

Precedence: defaults < recipe < method < file < flags. An unknown key is an error with
the nearest known one; a key that has no effect for the chosen method is one too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from uda.errors import UsageError
from uda.training.config import RunConfig, flatten, known_keys
from uda.training.effects import (
    refuse_double_correction,
    refuse_passed_over,
    refuse_without_effect,
    without_effect,
)
from uda.training.multilabel_rules import preset, refuse_with_multi_label
from uda.training.presets import METHODS, RECIPES
from uda.training.shape_effects import refuse_combinations
from uda.training.tree_rules import refuse_with_tree

# Keys on which other keys' usual values depend.
CHOOSING = ("recipe", "method", "data.multi_label")
# Keys that `training.settled` writes into every run's config.yaml.
SETTLED = {
    *("loop.steps", "loop.threads", "loop.eval_every", "loop.save_every"),
    *("model.frozen_steps", "model.layer_decay", "model.pretrain_steps"),
}
FLIPS = "consistency.teacher_flips"  # settled as well; without effect in some runs
# Keys that no hand-written file has all of, and that were in records from the first.
_IN_EVERY_RECORD = {
    *("method", "recipe", "seed", "data.root", "data.size", "model.name"),
    *("views.strong", "supervised.loss", "consistency.threshold"),
    *("optimizer.lr", "loop.batch"),
}
# Flags that say where a network starts, or how it sees images, in another way.
_STARTS = ("model.weights", "model.pretrained", "data.tiles")


def build_config(
    flags: Mapping[str, Any], file: Mapping[str, Any] | None = None
) -> RunConfig:
    """Merge defaults, recipe, file and flags into one validated configuration.

    Args:
        flags: dotted keys given on the command line; they win.
        file: dotted keys of a configuration file.

    Raises:
        UsageError: for an unknown key, a bad value, or a key without effect.
    """
    if file:
        # By itself: `--config run/config.yaml --method supervised` is a fair baseline.
        refuse_without_effect(merged(file), _told_by(file))
    config = merged({**_of_file(file or {}, flags), **flags})
    refuse_with_multi_label(config)
    refuse_double_correction(config)
    refuse_passed_over(config)
    refuse_with_tree(config)
    refuse_combinations(config)
    refuse_without_effect(config, set(flags))
    return config


def is_record(file: Mapping[str, Any]) -> bool:
    """Tell whether a file is the complete record of a run, defaults and all."""
    return set(file) >= _IN_EVERY_RECORD


def _of_file(file: Mapping[str, Any], flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a file says to a run of these flags.

    With another method or recipe, the defaults that a record repeats are not meant:
    the new one has its own. What has no effect beside the flags is left out, and so
    the new run's own record can be read like any other.
    """
    told = _told_by(file)
    others = any(key in flags and flags[key] != file.get(key) for key in CHOOSING)
    if others and is_record(file):
        kept = told | set(CHOOSING) | (SETTLED - {"loop.steps"})
        if file.get("loop.steps") != merged(choices(file)).loop.steps:
            kept.add("loop.steps")
        file = {k: v for k, v in file.items() if k in kept or k.startswith("data.")}
    if is_record(file) and any(flags.get(key) for key in _STARTS):
        file = {k: v for k, v in file.items() if k != "model.pretrain_steps"}
    return _acting(file, told & set(file), flags)


def _acting(
    file: Mapping[str, Any], told: set[str], flags: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Leave out what a file tells and has no effect in a run of these flags.

    Patience without a validation part stays: that is refused, and has to be.
    """
    told = told - {"loop.patience"}
    while idle := without_effect(merged({**file, **flags}), told - set(flags)):
        told -= idle
        file = {k: v for k, v in file.items() if k not in idle}
    return file


def merged(given: Mapping[str, Any]) -> RunConfig:
    """Put keys over the recipe, the method's settings and the defaults; no rule more.

    Raises:
        UsageError: for an unknown key or a bad value.
    """
    _refuse_unknown(given)
    recipe = given.get("recipe", "small")
    if recipe not in RECIPES:
        raise UsageError(
            f"--recipe {recipe!r}: choose one of {', '.join(sorted(RECIPES))}"
        )
    method = METHODS.get(str(given.get("method", "uda")), {})
    return _validate({**RECIPES[recipe], **method, **preset(given), **given})


def _told_by(file: Mapping[str, Any]) -> set[str]:
    """Return the keys by which a file says something of its own.

    A run's complete config.yaml repeats every default, and what the data and the
    machine settled when the run began; neither is held to have an effect.
    """
    said = flatten(merged(file).model_dump())
    usual = flatten(merged(choices(file)).model_dump())
    record = is_record(file)
    return {
        key
        for key in file
        if said.get(key) != usual.get(key)
        and key not in (SETTLED | {FLIPS} if record else SETTLED)
        and not (record and key.startswith("data."))
    }


def choices(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides other keys' usual values."""
    return {key: file[key] for key in CHOOSING if key in file}


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    keys = known_keys()
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown configuration key {key!r}{hint}")


def _validate(flat: Mapping[str, Any]) -> RunConfig:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, inner = key.partition(".")
        if inner:
            tree.setdefault(section, {})[inner] = value
        else:
            tree[section] = value
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} "
            f"(given {item['input']!r})"
            for item in error.errors()
        ]
        raise UsageError("bad configuration: " + "; ".join(lines)) from error
