"""A trained model as one loadable thing: weights, classes, preprocessing.

Class names travel with the weights, so that an index can never shift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from uda.data.preprocessing import Preprocessing
from uda.errors import CheckpointError, UsageError
from uda.files import (
    atomic_path,
    atomic_write,
    full_disk_told,
    hash_path,
    is_locked,
    read_json,
    sha256_file,
    write_hash,
    write_json,
)
from uda.models.classifier import Classifier, ModelSpec, build_classifier
from uda.models.links import Link
from uda.run.layout import NETWORK, RunFolder, open_run, progress
from uda.tree import Tree

FORMAT = 1
KINDS = ("network", "texture")


@dataclass(frozen=True)
class Bundle:
    """What a command needs to classify images as the run does.

    Attributes:
        kind: ``network`` or ``texture``.
        model: called with uint8 (B, K, H, W), answers with Outputs.
        classes: (C,) names in the order of the logits.
        preprocessing: how a file becomes uint8 (H, W, K).
        folder: the run's folder.
        tree: of the classes, where the model decides node by node.
        link: "softmax": one label per image; "sigmoid": any number.
    """

    kind: str
    model: Callable[..., Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    folder: Path
    tree: Tree | None = None
    link: Link = "softmax"


def require_one_label(bundle: Bundle, what: str) -> Bundle:
    """Return a bundle that names one class per image.

    Raises:
        UsageError: it names several; ``what`` says what cannot be done with that.
    """
    if bundle.link == "sigmoid":
        raise UsageError(
            f"{bundle.folder}: a multi-label run names several classes per image or "
            f"none, and {what}; take a run that names one"
        )
    return bundle


def save_description(
    path: Path, kind: str, spec: ModelSpec, preprocessing: Preprocessing
) -> None:
    """Write model.json: what the weights mean."""
    write_json(
        path,
        {
            "format": FORMAT,
            "kind": kind,
            "spec": spec.to_json(),
            "preprocessing": preprocessing.to_json(),
        },
    )


def save_weights(folder: Path, name: str, model: nn.Module) -> Path:
    """Write a model's tensors as ``name.safetensors`` with a SHA-256 side file."""
    from safetensors.torch import save_model

    path = folder / f"{name}.safetensors"
    with atomic_path(path) as temporary, full_disk_told(path):
        save_model(model, str(temporary))
    write_hash(path)
    return path


def serve_instead(folder: Path, name: str) -> None:
    """Let other weights of a run be the ones that it hands over (``ema``)."""
    chosen, ema = (folder / f"{one}.safetensors" for one in (name, "ema"))
    atomic_write(ema, chosen.read_bytes())
    atomic_write(hash_path(ema), hash_path(chosen).read_bytes())


def load_bundle(folder: Path, *, weights: str = "ema") -> Bundle:
    """Open a run for evaluation or prediction.

    Args:
        folder: a run folder.
        weights: ``ema`` (averaged, what a run hands over), ``raw``, or ``network``:
            the averaged network of a run that hands over its texture teacher.

    Raises:
        CheckpointError: no run there, or its weights are missing or damaged.
        UsageError: ``network`` of another run, ``raw`` of texture.
    """
    run = open_run(folder)
    if not run.model.is_file():
        raise CheckpointError(
            f"{run.path}: no trained model yet (model.json is missing); {_way_out(run)}"
        )
    description, name = read_json(run.model), weights
    if weights == NETWORK:
        description, name = read_json(_network_file(run)), "ema"
    if description.get("format") != FORMAT or description.get("kind") not in KINDS:
        raise CheckpointError(f"{run.model}: written by another version")
    spec = ModelSpec.from_json(description["spec"])
    preprocessing = Preprocessing.from_json(description["preprocessing"])
    kind = str(description["kind"])
    if kind == "texture":
        model: Any = _load_texture(run.weights / "texture.npz", weights)
    else:
        path = run.weights / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; {_way_out(run)}")
        model = _load_network(path, spec)
    tree = spec.class_tree
    return Bundle(kind, model, spec.classes, preprocessing, run.path, tree, spec.link)


def _network_file(run: RunFolder) -> Path:
    status = run.read_status()
    if not run.network.is_file() and status.get("handed_over") == "texture":
        raise UsageError(
            f"--weights {NETWORK}: {run.path} was trained by an earlier version, which "
            "did not keep what describes its network; train again"
        )
    if not run.network.is_file():
        raise UsageError(
            f"--weights {NETWORK}: {run.path} does not hand over a texture teacher in "
            "place of its network; leave it out"
        )
    return run.network


def _way_out(run: RunFolder) -> str:
    """Say what to do about a run without weights."""
    status = run.read_status()
    if status.get("state") == "running" and is_locked(run.path):
        return (
            f"the run is still training ({progress(status)}); wait for its first "
            "checkpoint"
        )
    if any(run.checkpoints.glob("step-*.pt")):
        return "`uda resume` the run to write it"
    if status.get("state") != "failed":
        return "wait for the first checkpoint, or `uda resume` the run"
    reason = f" ({status['reason']})" if status.get("reason") else ""
    # Resumed, it would replay its own copies of the policies and fail again.
    return (
        f"the run failed before its first checkpoint{reason}; mend that, and start a "
        "new run with `uda train`"
    )


def _load_network(path: Path, spec: ModelSpec) -> Classifier:
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    _check_hash(path)
    model = build_classifier(spec)
    try:
        load_model(model, str(path))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: does not fit its model.json: {error}"
        ) from error
    return model.eval()


def _load_texture(path: Path, weights: str) -> Any:
    from uda.models.texture import TextureClassifier, TextureModel

    if weights != "ema":
        raise UsageError(
            f"--weights {weights}: a texture run has one set of weights; leave it out"
        )
    _check_hash(path)
    return TextureModel(TextureClassifier.load(path))


def _check_hash(path: Path) -> None:
    try:
        expected = hash_path(path).read_text(encoding="ascii").strip()
        found = sha256_file(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: missing ({error.strerror}); `uda resume` the run to write it"
        ) from error
    if expected != found:
        if is_locked(path.parent.parent):  # training renews file and hash in turn
            raise CheckpointError(
                f"{path}: is being written by the training; try again"
            )
        raise CheckpointError(
            f"{path}: damaged (SHA-256 differs from {hash_path(path).name}); `uda "
            "resume` the run, or copy the folder again"
        )
