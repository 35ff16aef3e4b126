"""The classical baseline as a run: texture descriptors and logistic regression."""

from __future__ import annotations

import numpy as np

from uda.evaluation.predict import predict_pool
from uda.evaluation.rates import confusion_matrix, rates
from uda.evaluation.texture import TextureClassifier, TextureModel, texture_features
from uda.files import atomic_path, atomic_write, sha256_file
from uda.run.bundle import save_description
from uda.run.layout import RunFolder
from uda.training.build import model_spec
from uda.training.config import RunConfig
from uda.training.loop import Summary
from uda.training.monitor.progress import Progress
from uda.training.prepare import Parts


def train_texture(
    config: RunConfig, run: RunFolder, parts: Parts, *, console: Progress
) -> Summary:
    """Fit the classical baseline in seconds and write it as a run."""
    spec = model_spec(config, parts)
    save_description(run.model, "texture", spec, parts.pool.preprocessing)
    images = np.ascontiguousarray(parts.pool.images[parts.labeled])
    classifier = TextureClassifier.fit(
        texture_features(images), parts.targets, len(parts.classes)
    )
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
