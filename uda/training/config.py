"""RunConfig: the complete, frozen, strict description of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

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

    def changed(self, keys: Mapping[str, Any]) -> RunConfig:
        """Return a copy with other values for some dotted keys.

        For what the program itself settles: the values are taken as they are.

        Args:
            keys: for example ``{"loop.workers": 2, "seed": 7}``.
        """
        flat: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {}
        for key, value in keys.items():
            section, _, name = key.partition(".")
            if name:
                inner.setdefault(section, {})[name] = value
            else:
                flat[section] = value
        for section, values in inner.items():
            flat[section] = getattr(self, section).model_copy(update=values)
        return self.model_copy(update=flat)

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
