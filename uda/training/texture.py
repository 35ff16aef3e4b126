"""The classical baseline as a run: texture descriptors and logistic regression."""

from __future__ import annotations

import numpy as np
import torch

from uda.evaluation.predict import predict_pool
from uda.evaluation.rates import confusion_matrix, rates
from uda.files import atomic_path, atomic_write, sha256_file
from uda.models.texture import TextureClassifier, TextureModel, texture_features
from uda.run.bundle import save_description
from uda.run.layout import RunFolder
from uda.training.build import model_spec
from uda.training.config import RunConfig
from uda.training.monitor.progress import Progress
from uda.training.prepare import Parts
from uda.training.summary import Summary


def fit_texture(parts: Parts) -> TextureClassifier:
    """Fit the classical classifier to the labelled images."""
    images = np.ascontiguousarray(parts.pool.images[parts.labeled])
    features = texture_features(images)
    return TextureClassifier.fit(features, parts.targets, len(parts.classes))


def texture_table(
    config: RunConfig, parts: Parts, device: torch.device
) -> torch.Tensor | None:
    """Predict the unlabelled images from texture, where a recipe asks for it.

    Returns:
        (N, C) log-probabilities by pool row (0 where not asked for), or None.
    """
    if config.method != "uda" or config.consistency.texture_weight == 0:
        return None
    classifier = fit_texture(parts)
    table = torch.zeros(len(parts.pool.images), len(parts.classes))
    for rows in np.array_split(parts.unlabeled, -(-len(parts.unlabeled) // 256)):
        images = np.ascontiguousarray(parts.pool.images[rows])
        found = classifier.predict_log_proba(texture_features(images))
        table[torch.from_numpy(rows)] = torch.from_numpy(found).float()
    return table.to(device)


def train_texture(
    config: RunConfig, run: RunFolder, parts: Parts, *, console: Progress
) -> Summary:
    """Fit the classical baseline in seconds and write it as a run."""
    spec = model_spec(config, parts)
    save_description(run.model, "texture", spec, parts.pool.preprocessing)
    classifier = fit_texture(parts)
    path = run.weights / "texture.npz"
    with atomic_path(path) as temporary:
        classifier.save(temporary)
    atomic_write(path.with_name(path.name + ".sha256"), sha256_file(path) + "\n")
    metrics: dict[str, float] = {}
    if len(parts.validation):
        predictions = predict_pool(
            TextureModel(classifier),
            parts.pool.images,
            parts.validation,
            ids=parts.ids(parts.validation),
            targets=parts.validation_targets,
            classes=parts.classes,
        )
        counts = confusion_matrix(
            predictions.targets, predictions.predicted, len(parts.classes)
        )
        rate = rates(counts)
        for key in ("balanced_accuracy", "macro_f1"):
            metrics[f"val_ema/{key}"] = float(rate[key])
    run.write_status("done", step=0, steps=0, **metrics)
    return Summary("done", 0, metrics)
