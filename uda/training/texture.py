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
from uda.training.prepare import Parts, Rows
from uda.training.summary import Summary

# Weaker than the baseline's: a teacher has to be sure of something.
TEACHER_REGULARISATION = 1.0


class TextureTeacher:
    """The classical classifier as a second opinion on unlabelled images.

    Its mistakes are of another kind than the network's, so their average is right
    more often than either; and refitted on what the network is sure of, it learns
    from the unlabelled images too (co-training: Blum and Mitchell, "Combining
    labeled and unlabeled data with co-training", COLT 1998).

    Args:
        parts: the run's images.
        device: where the tables are wanted.
    """

    def __init__(self, parts: Parts, device: torch.device) -> None:
        self.parts = parts
        self.device = device
        # Validation images are predicted, to be told of; no fit ever sees them.
        self.rows = np.union1d(parts.training_rows, parts.validation)
        chunks = np.array_split(self.rows, max(1, -(-len(self.rows) // 256)))
        self.features = np.concatenate(
            [
                texture_features(np.ascontiguousarray(parts.pool.images[rows]))
                for rows in chunks
            ]
        ).astype(np.float32)
        # (N,) place of a pool row among the features.
        self.place = np.full(len(parts.pool.images), -1)
        self.place[self.rows] = np.arange(len(self.rows))

    def first(self) -> torch.Tensor:
        """Predict from the labelled images alone.

        Returns:
            (N, C) log-probabilities by pool row; 0 where not asked for.
        """
        return self._table(self.parts.labeled, self.parts.targets)

    def refitted(self, table: torch.Tensor, threshold: float) -> torch.Tensor:
        """Predict after a fit to labels and to what a table is sure of.

        Args:
            table: (N, C) log-probabilities by pool row.
            threshold: confidence that a pseudo-label needs.
        """
        probs = table.exp().cpu().numpy()
        unlabeled = np.setdiff1d(self.parts.unlabeled, self.parts.labeled)
        sure = unlabeled[probs[unlabeled].max(1) > threshold]
        rows = np.concatenate([self.parts.labeled, sure])
        targets = np.concatenate([self.parts.targets, probs[sure].argmax(1)])
        return self._table(rows, targets)

    def skill(self, seed: int) -> float | None:
        """Tell how far the labels carry: cross-validated, on labelled images alone.

        Returns:
            (balanced accuracy - 1/C) / (1 - 1/C) over up to five folds: 0 is chance,
            1 is perfect; None where a class has fewer than two labelled images.
        """
        from sklearn.metrics import balanced_accuracy_score
        from sklearn.model_selection import StratifiedKFold

        targets = self.parts.targets
        num_classes = len(self.parts.classes)
        smallest = int(np.bincount(targets, minlength=num_classes).min())
        if smallest < 2:
            return None
        features = self.features[self.place[self.parts.labeled]]
        folds = StratifiedKFold(min(5, smallest), shuffle=True, random_state=seed)
        predicted = np.zeros_like(targets)
        for train, held_out in folds.split(features, targets):
            classifier = TextureClassifier.fit(
                features[train],
                targets[train],
                num_classes,
                regularisation=TEACHER_REGULARISATION,
            )
            answer = classifier.predict_log_proba(features[held_out])
            predicted[held_out] = answer.argmax(1)
        accuracy = float(balanced_accuracy_score(targets, predicted))
        return (accuracy - 1 / num_classes) / (1 - 1 / num_classes)

    def _table(self, rows: Rows, targets: Rows) -> torch.Tensor:
        num_classes = len(self.parts.classes)
        classifier = TextureClassifier.fit(
            self.features[self.place[rows]],
            targets,
            num_classes,
            regularisation=TEACHER_REGULARISATION,
        )
        table = torch.zeros(len(self.parts.pool.images), num_classes)
        found = torch.from_numpy(classifier.predict_log_proba(self.features)).float()
        table[torch.from_numpy(self.rows)] = found
        return table.to(self.device)


def texture_teacher(
    config: RunConfig, parts: Parts, device: torch.device
) -> TextureTeacher | None:
    """Return the second opinion where the recipe asks for one."""
    if config.method != "uda" or config.consistency.weak_pass != "table":
        return None
    return TextureTeacher(parts, device) if config.consistency.texture_weight else None


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
