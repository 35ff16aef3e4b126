"""RunConfig: the complete, frozen, strict description of one training run.

Precedence: defaults < recipe < method < file < flags. An unknown key is an error with
the nearest known one; a key that has no effect for the chosen method is one too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from uda.errors import UsageError
from uda.training.effects import (
    refuse_double_correction,
    refuse_passed_over,
    refuse_without_effect,
    without_effect,
)
from uda.training.multilabel_rules import preset, refuse_with_multi_label
from uda.training.presets import METHODS as METHODS
from uda.training.presets import RECIPES as RECIPES
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

Method = Literal[
    "uda",
    "fixmatch",
    "flexmatch",
    "freematch",
    "softmatch",
    "pseudo-label",
    "pi-model",
    "mean-teacher",
    "supervised",
    "texture",
]


class Section(BaseModel):
    """Base of the sections: frozen, and no key beyond the declared ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Where the images are and how they become arrays."""

    root: str = ""
    split: str | None = None
    unlabeled: tuple[str, ...] = ()
    group: str | None = None
    multi_label: bool = False
    labels_per_class: int | None = Field(None, ge=1)
    validation: float = Field(0.15, ge=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)
    size: tuple[int, int] = (64, 64)
    channels: Literal[1, 3] | None = None
    resize: Literal["letterbox", "squash"] = "letterbox"
    sizes: tuple[tuple[PositiveInt, PositiveInt, PositiveFloat], ...] = ()
    tiles: tuple[PositiveInt, PositiveInt] | None = None
    tile_join: Literal["max", "noisy-or"] = "max"
    background: str | None = None
    boxes: str | None = None
    cache: str | None = None
    pseudo_labels: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _last_size_is_the_size(cls, value: Any) -> Any:
        sizes = value.get("sizes") if isinstance(value, dict) else None
        last = sizes[-1] if isinstance(sizes, list | tuple) and sizes else None
        if isinstance(last, list | tuple) and len(last) == 3:
            return {**value, "size": tuple(last[:2])}
        return value

    @field_validator("sizes")
    @classmethod
    def _shares_add_up(
        cls, sizes: tuple[tuple[int, int, float], ...]
    ) -> tuple[tuple[int, int, float], ...]:
        if len(sizes) == 1:
            raise ValueError("one size alone is --imgsz; give two or more")
        if sizes and abs(sum(share for _, _, share in sizes) - 1) > 1e-6:
            raise ValueError("the shares of the sizes must add up to 1")
        return sizes


class ModelConfig(Section):
    """The backbone and where its weights come from."""

    name: str = "small"
    weights: str | None = None
    pretrained: bool = False
    pretrain_steps: int | None = Field(None, ge=0)
    frozen_steps: int | None = Field(None, ge=0)
    layer_decay: float | None = Field(None, gt=0, le=1)
    tree: str | None = None
    good_class: str | None = None
    independent: bool = False


class ViewsConfig(Section):
    """Policies, by name or file, of the three views."""

    labeled: str = "weak"
    weak: str = "weak"
    strong: str = "defect-safe"


class SupervisedConfig(Section):
    """The supervised branch: which images, which weight, annealing (TSA)."""

    sampling_power: float = Field(0.0, ge=0, le=1)
    max_repeat: float | None = Field(None, ge=1)
    class_weights: Literal["none", "inverse", "sqrt", "effective"] = "none"
    reweight_from: float = Field(0.0, ge=0, lt=1)
    loss: Literal["cross-entropy", "focal", "ldam", "asymmetric"] = "cross-entropy"
    focal_gamma: float = Field(1.0, gt=0, le=5)
    logit_adjustment: Literal["none", "loss", "post-hoc"] = "none"
    adjustment_tau: float = Field(1.0, gt=0, le=5)
    allow_double_correction: bool = False
    tsa: Literal["none", "log", "linear", "exp"] = "log"
    tsa_share: float = Field(0.15, gt=0, le=1)
    tsa_form: Literal["common", "prior", "quota"] = "common"
    tsa_exempt_below: int = Field(0, ge=0)
    min_share: float = Field(0.0, ge=0, le=1)


class ConsistencyConfig(Section):
    """The unlabelled branch: teacher, target, gate, weight."""

    weight: float = Field(1.0, ge=0)
    temperature: float = Field(0.4, gt=0, le=10)
    threshold: float = Field(0.8, ge=0, lt=1)
    entropy_weight: float = Field(0.0, ge=0)
    weak_pass: Literal["joint", "no-grad", "ema", "table"] = "table"
    # None: those of the view whose label is known, see `settled`.
    teacher_flips: Literal["none", "horizontal", "vertical", "both"] | None = None
    refresh_steps: int = Field(50, ge=1)
    texture_weight: float = Field(0.5, ge=0, le=1)
    start_share: float = Field(0.15, ge=0, lt=1)
    ramp_share: float = Field(0.1, ge=0, le=1)
    unlabeled_ratio: int = Field(2, ge=1)
    include_labeled: bool = True
    balanced_head: Literal["none", "abc", "acr"] = "none"
    class_floor: float | None = Field(None, ge=0, lt=1)
    prior: dict[str, float] | Literal["estimate"] | None = None
    refinery: Literal["align", "darp"] = "align"
    debias: bool = False


class OptimizerConfig(Section):
    """Optimiser and learning-rate schedule."""

    name: Literal["sgd", "adamw"] = "adamw"
    lr: float = Field(2e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.02, ge=0)
    schedule: Literal["constant", "cosine", "cosine-7-16", "one-cycle"] = "cosine"
    warmup_steps: int = Field(20, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    accumulation: int = Field(1, ge=1)


class LoopConfig(Section):
    """Length, batch, numerics and bookkeeping."""

    steps: int = Field(1000, ge=1)
    batch: int = Field(32, ge=1)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    ema_warmup: bool = True
    batch_norm: Literal["joint", "separate", "frozen"] = "joint"
    clean_statistics: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    device: str = "auto"
    threads: int | None = Field(None, ge=1)
    workers: int = Field(0, ge=0)
    eval_every: int | None = Field(None, ge=1)
    save_every: int | None = Field(None, ge=1)
    log_every: int = Field(10, ge=1)
    keep_checkpoints: int = Field(2, ge=2)
    patience: int | None = Field(None, ge=1)
    stop_metric: Literal["macro_f1", "balanced_accuracy"] = "macro_f1"


class RunConfig(Section):
    """One run. ``method`` decides which of the other keys have an effect."""

    method: Method = "uda"
    recipe: Literal["small", "paper"] = "small"
    seed: int = Field(0, ge=0)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    views: ViewsConfig = ViewsConfig()
    supervised: SupervisedConfig = SupervisedConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig = LoopConfig()

    @property
    def semi_supervised(self) -> bool:
        """Whether the method has an unlabelled branch."""
        return self.method not in ("supervised", "texture")

    def to_yaml(self) -> str:
        """Return the complete configuration as YAML that ``--config`` reads."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text


def known_keys() -> list[str]:
    """Return every dotted key, for example ``consistency.threshold``."""
    keys: list[str] = []
    for name, field in RunConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            keys += [f"{name}.{inner}" for inner in kind.model_fields]
        else:
            keys.append(name)
    return keys


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested sections into dotted keys; a key whose value is a mapping stays."""
    flat: dict[str, Any] = {}
    known = known_keys()
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in known:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


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
