"""Every flag of `uda train` with its configuration key, type and help."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uda.cli.options import (
    PriorType,
    SizesType,
    SizeType,
    TilesType,
    parameter_name,
    parse_assignments,
)
from uda.errors import UsageError

if TYPE_CHECKING:
    from uda.training.config import RunConfig

METHODS = (
    "uda", "fixmatch", "flexmatch", "freematch", "softmatch", "pseudo-label",
    "pi-model", "mean-teacher", "supervised", "texture",
)  # fmt: skip
Command = TypeVar("Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


def one_of(*choices: str) -> click.Choice[str]:
    """Return the type of a flag that takes one of some words."""
    return click.Choice(choices)


# Flags, dotted key, type, help: units, and where a default is not the plain one.
TRAIN_FLAGS: tuple[tuple[str, str, Any, str], ...] = (
    ("--method", "method", one_of(*METHODS),
     "uda, another method of its family, or one of the two baselines."),
    ("--recipe", "recipe", one_of("small", "paper"),
     "small: few images, short runs (default). paper: as released."),
    ("--seed", "seed", click.IntRange(0),
     "The run's one seed."),
    ("--split", "data.split", PATH,
     "Split file of `uda split`."),
    ("--unlabeled", "data.unlabeled", PATH,
     "Folder of unlabelled images, nested or flat; repeatable."),
    ("--group", "data.group", None,
     "Which images belong together."),
    ("--multi-label/--single-label", "data.multi_label", None,
     "Images may have several labels, joined by | in the manifest."),
    ("--labels-per-class", "data.labels_per_class", click.IntRange(1),
     "Keep so many labels per class; the rest is unlabelled."),
    ("--validation", "data.validation", click.FloatRange(0, 0.9),
     "Share of images for validation."),
    ("--test", "data.test", click.FloatRange(0, 0.9),
     "Share of images for the test."),
    ("--imgsz --size", "data.size", SizeType(),
     "Image size in pixels: 64 or 64x96 (HxW)."),
    ("--sizes", "data.sizes", SizesType(),
     "Sizes one after the other, with their shares of the steps: "
     "64:0.4,96:0.3,128:0.3; the last one is final."),
    ("--tiles", "data.tiles", TilesType(),
     "Cut each image into so many tiles of --imgsz: 2x2."),
    ("--tile-join", "data.tile_join", one_of("max", "noisy-or"),
     "How tiles become one answer."),
    ("--background", "data.background", None,
     "Class of a tile without any defect, for --tiles."),
    ("--boxes", "data.boxes", PATH,
     "Boxes of defects (COCO, VOC, YOLO, corners): warns where the size loses them."),
    ("--resize", "data.resize", one_of("letterbox", "squash"),
     "How images get to the size; nothing is ever cropped."),
    ("--channels", "data.channels", one_of("1", "3"),
     "1 grey, 3 colour; seen if left."),
    ("--model", "model.name", None,
     "small, wrn-28-2, a torchvision name, or timm/NAME."),
    ("--weights", "model.weights", PATH,
     "Start from weights: safetensors, or a weights-only checkpoint."),
    ("--pretrained/--no-pretrained", "model.pretrained", None,
     "Start from the library's ImageNet weights."),
    ("--pretrain-steps", "model.pretrain_steps", click.IntRange(0),
     "Steps of the warm start on texture, without labels; as many as the run's if "
     "left, 0 for none."),
    ("--frozen-steps", "model.frozen_steps", click.IntRange(0),
     "Steps at first with the trunk frozen."),
    ("--layer-decay", "model.layer_decay", click.FloatRange(0, 1, min_open=True),
     "Factor of the learning rate per layer towards the input."),
    ("--tree", "model.tree", PATH,
     "YAML tree of the classes: a decision per node."),
    ("--good-class", "model.good_class", None,
     "Tree of this class against the rest, then the defect types."),
    ("--independent/--joint-trunk", "model.independent", None,
     "A network per node of the tree, or one for all nodes (default)."),
    ("--weak", "views.weak", None,
     "Policy of the weak view: name or file."),
    ("--strong", "views.strong", None,
     "Policy of the strong view."),
    ("--labeled-view", "views.labeled", None,
     "Policy of the labelled images; weak by default."),
    ("--sampling-power", "supervised.sampling_power", click.FloatRange(0, 1),
     "q of p(class) ~ n^q: 0 class-balanced, 1 as the data is."),
    ("--max-repeat", "supervised.max_repeat", click.FloatRange(1),
     "At most so many draws of an image per pass."),
    ("--class-weights", "supervised.class_weights",
     one_of("none", "inverse", "sqrt", "effective"),
     "Weights of the supervised loss."),
    ("--reweight-from", "supervised.reweight_from",
     click.FloatRange(0, 1, max_open=True),
     "Share of the run after which class weights count."),
    ("--loss", "supervised.loss",
     one_of("cross-entropy", "focal", "ldam", "asymmetric"),
     "Supervised loss; asymmetric with --multi-label alone."),
    ("--focal-gamma", "supervised.focal_gamma", click.FloatRange(0, 5, min_open=True),
     "Gamma of the focal loss."),
    ("--logit-adjustment", "supervised.logit_adjustment",
     one_of("none", "loss", "post-hoc"),
     "Adjust logits by the sampler's prior: in the loss, or at the end."),
    ("--adjustment-tau", "supervised.adjustment_tau",
     click.FloatRange(0, 5, min_open=True),
     "How much of the prior is taken out."),
    ("--allow-double-correction/--refuse-double-correction",
     "supervised.allow_double_correction", None,
     "Let two corrections of the class prior add up."),
    ("--tsa", "supervised.tsa", one_of("none", "log", "linear", "exp"),
     "Training signal annealing of the labelled branch."),
    ("--tsa-share", "supervised.tsa_share", click.FloatRange(0, 1, min_open=True),
     "Share of the run over which TSA is released."),
    ("--tsa-form", "supervised.tsa_form", one_of("common", "prior", "quota"),
     "One threshold; from each class's share; a quota per class."),
    ("--tsa-exempt-below", "supervised.tsa_exempt_below", click.IntRange(0),
     "Classes of fewer labelled images are never left out."),
    ("--min-share", "supervised.min_share", click.FloatRange(0, 1),
     "Share of a batch that the kept examples at least count as."),
    ("--consistency-weight", "consistency.weight", click.FloatRange(0),
     "Weight of the unlabelled branch."),
    ("--temperature", "consistency.temperature", click.FloatRange(0, 10, min_open=True),
     "Sharpening of the target."),
    ("--threshold", "consistency.threshold", click.FloatRange(0, 1, max_open=True),
     "Confidence that a target needs."),
    ("--class-floor", "consistency.class_floor", click.FloatRange(0, 1, max_open=True),
     "Thresholds per class, none of them lower."),
    ("--balanced-head", "consistency.balanced_head", one_of("none", "abc", "acr"),
     "Auxiliary head that sees classes evenly and decides."),
    ("--prior", "consistency.prior", PriorType(),
     "Classes among the unlabelled: Good=0.97,Rust=0.03; or estimate."),
    ("--refinery", "consistency.refinery", one_of("align", "darp"),
     "How targets are bent to --prior."),
    ("--debias/--no-debias", "consistency.debias", None,
     "Take out what the network says to a blank image (CDMAD)."),
    ("--entropy-weight", "consistency.entropy_weight", click.FloatRange(0),
     "Weight of entropy minimisation."),
    ("--weak-pass", "consistency.weak_pass", one_of("joint", "no-grad", "ema", "table"),
     "Who names the targets: the live network in the same pass or without "
     "gradient, the averaged one, or its table of clean images."),
    ("--start-share", "consistency.start_share", click.FloatRange(0, 1, max_open=True),
     "Share of the run that is supervised only."),
    ("--ramp-share", "consistency.ramp_share", click.FloatRange(0, 1),
     "Share of the run over which the unlabelled weight rises."),
    ("--unlabeled-ratio --mu", "consistency.unlabeled_ratio", click.IntRange(1),
     "Unlabelled images per labelled one."),
    ("--optimizer", "optimizer.name", one_of("sgd", "adamw"),
     "SGD is Nesterov's."),
    ("--lr", "optimizer.lr", click.FloatRange(0, min_open=True),
     "Peak learning rate."),
    ("--lr-schedule", "optimizer.schedule",
     one_of("constant", "cosine", "cosine-7-16", "one-cycle"),
     "Learning rate over the run."),
    ("--batch", "loop.batch", click.IntRange(1),
     "Labelled images per step."),
    ("--batch-norm", "loop.batch_norm", one_of("joint", "separate", "frozen"),
     "Whose statistics batch normalisation uses."),
    ("--precision", "loop.precision", one_of("fp32", "bf16"),
     "bf16 = autocast."),
    ("--device", "loop.device", None,
     "auto, cpu, cuda, cuda:1 …"),
    ("--threads", "loop.threads", click.IntRange(1),
     "Compute threads; all cores if left."),
    ("--workers", "loop.workers", click.IntRange(0),
     "Batch threads, or processes for Python policies; the result does not "
     "depend on it."),
    ("--eval-every", "loop.eval_every", click.IntRange(1),
     "Steps between evaluations."),
    ("--save-every", "loop.save_every", click.IntRange(1),
     "Steps between checkpoints."),
    ("--patience", "loop.patience", click.IntRange(1),
     "Stop after so many evaluations without a new best."),
    ("--stop-metric", "loop.stop_metric", one_of("macro_f1", "balanced_accuracy"),
     "What --patience looks at."),
)  # fmt: skip


def train_flags(command: Command) -> Command:
    """Add every training flag to a command; an absent flag is None or ()."""
    for flags, key, kind, text in reversed(TRAIN_FLAGS):
        extra: dict[str, Any] = (
            {"metavar": "COLUMN|auto|none"} if key == "data.group" else {}
        )
        if "/" in flags:
            extra["default"] = None
        click_option = click.option(
            *flags.split(),
            parameter_name(flags),
            type=kind,
            help=text,
            multiple=key == "data.unlabeled",
            **extra,
        )
        command = click_option(command)
    return command


def given_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return {dotted key: value} of the flags that were really given."""
    given: dict[str, Any] = {}
    for flags, key, _, _ in TRAIN_FLAGS:
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


def built(
    given: dict[str, Any], flags: dict[str, Any], config: Path | None
) -> RunConfig:
    """Return the configuration; errors name flags as the user typed them.

    Args:
        given: {dotted key: value} of everything that was given.
        flags: values of the flags, by parameter.
        config: YAML file of settings, or None.
    """
    from uda.training.configure import build_config
    from uda.training.settled import read_settings

    try:
        return build_config(given, read_settings(config) if config else None)
    except UsageError as error:
        raise UsageError(in_flags(str(error), given_keys(flags))) from error


def in_flags(text: str, given: Mapping[str, Any]) -> str:
    """Call keys in a message as the flags are called that they were given by."""
    for flags, key, _, _ in TRAIN_FLAGS:
        if key in given and "." in key:
            name = flags.split()[0].split("/")[-1 if given[key] is False else 0]
            text = re.sub(rf"(?<![\w.]){re.escape(key)}(?![\w.])", name, text)
    return text


def settings_flags(command: Command) -> Command:
    """Add ``--config`` and ``--set``: settings of a run that have no flag too."""
    file = click.option(
        "-c", "--config", type=click.Path(path_type=Path), help="YAML file of settings."
    )
    return file(
        click.option("--set", "assignments", multiple=True, help="section.key=value.")(
            command
        )
    )


def given_settings(
    data: Path | None, flags: dict[str, Any], assignments: tuple[str, ...]
) -> dict[str, Any]:
    """Return {dotted key: value} of a command's DATA, its flags and its ``--set``."""
    root = {} if data is None else {"data.root": str(data)}
    return {**given_keys(flags), **parse_assignments(assignments), **root}
