"""What a run leaves behind: description, policies, weights, checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uda.augment.installed import source_of
from uda.data.pool import write_skipped
from uda.evaluation.thresholds import DEFAULT, MIN_SUPPORT, fit_thresholds
from uda.files import atomic_write, write_json
from uda.models.classifier import ModelSpec
from uda.run.bundle import save_description, save_weights
from uda.run.layout import RunFolder
from uda.training.config import RunConfig, flatten
from uda.training.evaluate import validation_predictions
from uda.training.prepare import Parts, Policies
from uda.training.served import clean
from uda.training.state import checkpoint_paths, is_valid, save_checkpoint

if TYPE_CHECKING:
    from uda.training.trainer import Trainer


def describe(run: RunFolder, spec: ModelSpec, parts: Parts) -> None:
    """Write what the weights will mean, and what was left out of the run."""
    save_description(run.model, "network", spec, parts.pool.preprocessing)
    if parts.pool.skipped:
        write_skipped(parts.pool, run.skipped)


def copy_policies(run: RunFolder, policies: Policies) -> None:
    """Copy the policies into the run, with their fingerprints."""
    prints = {}
    for view in ("labeled", "weak", "strong"):
        policy = getattr(policies, view)
        prints[view] = {"name": policy.name, "fingerprint": policy.fingerprint()}
        # Built-in ones too: a run must not change when the package does.
        copy = policy_copy(run, view, policy.path)
        if Path(policy.path).resolve() != copy.resolve():
            atomic_write(copy, source_of(policy))
    write_json(run.policies / "fingerprints.json", prints)


def policy_copy(run: RunFolder, view: str, source: Path | str) -> Path:
    """Return where a run keeps its copy of a view's policy."""
    return run.policies / f"{view}{Path(source).suffix}"


def checkpoint(trainer: Trainer) -> None:
    """Save a resumable checkpoint and the weights for evaluation."""
    trainer.writer.flush()
    save_checkpoint(
        trainer.run.checkpoints,
        trainer.state,
        keep=trainer.config.loop.keep_checkpoints,
    )
    weights(trainer)
    trainer.run.update_status("running", step=trainer.state.step)


def weights(trainer: Trainer) -> None:
    """Write raw and averaged weights as safetensors."""
    for name, model in (("raw", trainer.state.model), ("ema", trainer.state.ema.model)):
        save_weights(trainer.run.weights, name, clean(trainer, model))


def thresholds(trainer: Trainer) -> None:
    """Fit a threshold per class to the weights that are handed over, and keep it.

    Where an image has one label there are none.
    """
    from safetensors.torch import load_model

    parts = trainer.parts
    if parts.targets.ndim == 1 or len(parts.validation) == 0:
        return
    model = copy.deepcopy(trainer.state.ema.model)
    load_model(model, str(trainer.run.weights / "ema.safetensors"))
    predictions = validation_predictions(trainer, model)
    found = fit_thresholds(predictions.targets, predictions.probs)
    found.save(trainer.run.thresholds, parts.classes)
    own = sum(support >= MIN_SUPPORT for support in found.support)
    trainer.writer.console.note(
        f"thresholds: fitted by F1 on validation for {own} of {len(parts.classes)} "
        f"classes, {DEFAULT} for those with too few images; see "
        f"{trainer.run.thresholds.name}"
    )


def last_good(run: RunFolder) -> str:
    """Name the newest valid checkpoint, in words."""
    valid = (path.name for path in checkpoint_paths(run.checkpoints) if is_valid(path))
    name = next(valid, None)
    return f"{run.checkpoints / name}" if name else "none yet"


TABLE_KEYS = (
    "method",
    "recipe",
    "seed",
    "model.name",
    "loop.steps",
    "loop.batch",
    "optimizer.lr",
    "views.strong",
    "supervised.tsa",
    "supervised.loss",
    "supervised.class_weights",
    "supervised.logit_adjustment",
    "supervised.sampling_power",
    "consistency.weight",
    "consistency.threshold",
    "consistency.texture_weight",
)


def table_row(config: RunConfig) -> dict[str, Any]:
    """Return the run's row in TensorBoard's table: few keys, always the same."""
    flat = flatten(config.model_dump(mode="json"))
    return {key: flat[key] for key in TABLE_KEYS}
