"""Flags shared by commands, and how each maps to a key of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uda.errors import UsageError

if TYPE_CHECKING:
    TupleParam = click.ParamType[tuple[int, int]]
    FloatParam = click.ParamType[float]
else:  # generic for type checkers alone
    TupleParam = FloatParam = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])


class SizeType(TupleParam):
    """``64`` or ``64x96`` (height x width), in pixels."""

    name = "SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (height, width)."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
            self.fail(f"{value!r} is not a size: write 64 or 64x96", param, ctx)
        height = int(parts[0])
        return height, int(parts[-1])


class DurationType(FloatParam):
    """``90s``, ``20m`` or ``1.5h``; returned in seconds."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        units = {"s": 1.0, "m": 60.0, "h": 3600.0}
        text = str(value).strip().lower()
        try:
            seconds = float(text[:-1]) * units[text[-1]]
        except (ValueError, KeyError, IndexError):
            self.fail(f"{value!r} is not a time: write 90s, 20m or 1.5h", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} must be more than nothing", param, ctx)
        return seconds


# Flag, dotted key, click arguments. Help texts say units and the default's place.
TRAIN_FLAGS: list[tuple[tuple[str, ...], str, dict[str, Any]]] = [
    (
        ("--method",),
        "method",
        {
            "type": click.Choice(["uda", "supervised", "texture"]),
            "help": "uda; or one of the two baselines.",
        },
    ),
    (
        ("--recipe",),
        "recipe",
        {
            "type": click.Choice(["small", "paper"]),
            "help": "small: few images, short runs (default). paper: as released.",
        },
    ),
    (("--seed",), "seed", {"type": click.IntRange(0), "help": "The run's one seed."}),
    (
        ("--split",),
        "data.split",
        {"type": click.Path(path_type=Path), "help": "Split file of `uda split`."},
    ),
    (
        ("--unlabeled",),
        "data.unlabeled",
        {
            "multiple": True,
            "type": click.Path(path_type=Path),
            "help": "Folder of unlabelled images, nested or flat; repeatable.",
        },
    ),
    (
        ("--group",),
        "data.group",
        {"metavar": "COLUMN|auto|none", "help": "Which images belong together."},
    ),
    (
        ("--labels-per-class",),
        "data.labels_per_class",
        {
            "type": click.IntRange(1),
            "help": "Keep so many labels per class; the rest is unlabelled.",
        },
    ),
    (
        ("--validation",),
        "data.validation",
        {"type": click.FloatRange(0, 0.9), "help": "Share of images for validation."},
    ),
    (
        ("--test",),
        "data.test",
        {"type": click.FloatRange(0, 0.9), "help": "Share of images for the test."},
    ),
    (
        ("--imgsz", "--size"),
        "data.size",
        {"type": SizeType(), "help": "Image size in pixels: 64 or 64x96 (HxW)."},
    ),
    (
        ("--resize",),
        "data.resize",
        {
            "type": click.Choice(["letterbox", "squash"]),
            "help": "How images get to the size; nothing is ever cropped.",
        },
    ),
    (
        ("--channels",),
        "data.channels",
        {
            "type": click.Choice(["1", "3"]),
            "help": "1 grey, 3 colour; seen if left.",
        },
    ),
    (
        ("--model",),
        "model.name",
        {"help": "small, wrn-28-2, a torchvision name, or timm/NAME."},
    ),
    (
        ("--weights",),
        "model.weights",
        {
            "type": click.Path(path_type=Path),
            "help": "Start from weights: safetensors, or a weights-only checkpoint.",
        },
    ),
    (
        ("--pretrained/--no-pretrained",),
        "model.pretrained",
        {"default": None, "help": "Start from the library's ImageNet weights."},
    ),
    (
        ("--frozen-steps",),
        "model.frozen_steps",
        {"type": click.IntRange(0), "help": "Steps at first with the trunk frozen."},
    ),
    (
        ("--layer-decay",),
        "model.layer_decay",
        {
            "type": click.FloatRange(0, 1, min_open=True),
            "help": "Factor of the learning rate per layer towards the input.",
        },
    ),
    (("--weak",), "views.weak", {"help": "Policy of the weak view: name or file."}),
    (("--strong",), "views.strong", {"help": "Policy of the strong view."}),
    (
        ("--labeled-view",),
        "views.labeled",
        {"help": "Policy of the labelled images; weak by default."},
    ),
    (
        ("--sampling-power",),
        "supervised.sampling_power",
        {
            "type": click.FloatRange(0, 1),
            "help": "q of p(class) ~ n^q: 0 class-balanced, 1 as the data is.",
        },
    ),
    (
        ("--max-repeat",),
        "supervised.max_repeat",
        {
            "type": click.FloatRange(1),
            "help": "At most so many draws of an image per pass.",
        },
    ),
    (
        ("--class-weights",),
        "supervised.class_weights",
        {
            "type": click.Choice(["none", "inverse", "sqrt", "effective"]),
            "help": "Weights of the supervised loss.",
        },
    ),
    (
        ("--tsa",),
        "supervised.tsa",
        {
            "type": click.Choice(["none", "log", "linear", "exp"]),
            "help": "Training signal annealing of the labelled branch.",
        },
    ),
    (
        ("--tsa-share",),
        "supervised.tsa_share",
        {
            "type": click.FloatRange(0, 1, min_open=True),
            "help": "Share of the run over which TSA is released.",
        },
    ),
    (
        ("--consistency-weight",),
        "consistency.weight",
        {"type": click.FloatRange(0), "help": "Weight of the unlabelled branch."},
    ),
    (
        ("--temperature",),
        "consistency.temperature",
        {
            "type": click.FloatRange(0, 10, min_open=True),
            "help": "Sharpening of the target.",
        },
    ),
    (
        ("--threshold",),
        "consistency.threshold",
        {
            "type": click.FloatRange(0, 1, max_open=True),
            "help": "Confidence that a target needs.",
        },
    ),
    (
        ("--entropy-weight",),
        "consistency.entropy_weight",
        {"type": click.FloatRange(0), "help": "Weight of entropy minimisation."},
    ),
    (
        ("--weak-pass",),
        "consistency.weak_pass",
        {
            "type": click.Choice(["joint", "no-grad", "ema", "table"]),
            "help": "Who names the targets: the live network in the same pass or "
            "without gradient, the averaged one, or its table of clean images.",
        },
    ),
    (
        ("--start-share",),
        "consistency.start_share",
        {
            "type": click.FloatRange(0, 1, max_open=True),
            "help": "Share of the run that is supervised only.",
        },
    ),
    (
        ("--ramp-share",),
        "consistency.ramp_share",
        {
            "type": click.FloatRange(0, 1),
            "help": "Share of the run over which the unlabelled weight rises.",
        },
    ),
    (
        ("--unlabeled-ratio", "--mu"),
        "consistency.unlabeled_ratio",
        {"type": click.IntRange(1), "help": "Unlabelled images per labelled one."},
    ),
    (
        ("--optimizer",),
        "optimizer.name",
        {"type": click.Choice(["sgd", "adamw"]), "help": "SGD is Nesterov's."},
    ),
    (
        ("--lr",),
        "optimizer.lr",
        {"type": click.FloatRange(0, min_open=True), "help": "Peak learning rate."},
    ),
    (
        ("--lr-schedule",),
        "optimizer.schedule",
        {
            "type": click.Choice(["constant", "cosine", "cosine-7-16", "one-cycle"]),
            "help": "Learning rate over the run.",
        },
    ),
    (
        ("--batch",),
        "loop.batch",
        {"type": click.IntRange(1), "help": "Labelled images per step."},
    ),
    (
        ("--batch-norm",),
        "loop.batch_norm",
        {
            "type": click.Choice(["joint", "separate", "frozen"]),
            "help": "Whose statistics batch normalisation uses.",
        },
    ),
    (
        ("--precision",),
        "loop.precision",
        {"type": click.Choice(["fp32", "bf16"]), "help": "bf16 = autocast."},
    ),
    (("--device",), "loop.device", {"help": "auto, cpu, cuda, cuda:1 …"}),
    (
        ("--threads",),
        "loop.threads",
        {"type": click.IntRange(1), "help": "Compute threads; all cores if left."},
    ),
    (
        ("--workers",),
        "loop.workers",
        {
            "type": click.IntRange(0),
            "help": "Batch threads, or processes for Python policies; the result does "
            "not depend on it.",
        },
    ),
    (
        ("--eval-every",),
        "loop.eval_every",
        {"type": click.IntRange(1), "help": "Steps between evaluations."},
    ),
    (
        ("--save-every",),
        "loop.save_every",
        {"type": click.IntRange(1), "help": "Steps between checkpoints."},
    ),
]


def parameter_name(flags: tuple[str, ...]) -> str:
    """Return the Python name that click gives to a flag."""
    return flags[0].split("/")[0].lstrip("-").replace("-", "_")


def train_flags(command: Command) -> Command:
    """Add every training flag to a command; an absent flag is None or ()."""
    for flags, _, arguments in reversed(TRAIN_FLAGS):
        name = parameter_name(flags)
        command = click.option(*flags, name, **arguments)(command)
    return command


def given_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return {dotted key: value} of the flags that were really given."""
    given: dict[str, Any] = {}
    for flags, key, _ in TRAIN_FLAGS:
        value = values.get(parameter_name(flags))
        if value is None or value == ():
            continue
        if isinstance(value, Path):
            value = str(value)
        elif key == "data.unlabeled":
            value = tuple(str(item) for item in value)
        elif key == "data.channels":
            value = int(value)
        given[key] = value
    return given


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Read ``--set section.key=value`` words; the value is YAML."""
    import yaml

    given: dict[str, Any] = {}
    for text in assignments:
        key, separator, raw = text.partition("=")
        if not separator:
            raise UsageError(f"--set {text!r}: write section.key=value")
        try:
            given[key.strip()] = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {text!r}: bad value ({error})") from error
    return given
