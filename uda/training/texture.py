"""The classical baseline as a run: texture descriptors and logistic regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from uda.data.pool import Pool
from uda.evaluation.predict import predict_pool
from uda.evaluation.rates import confusion_matrix, rates
from uda.files import write_hash
from uda.models.classifier import ModelSpec
from uda.models.texture import (
    REGULARISATION,
    TextureClassifier,
    TextureModel,
    texture_features,
)
from uda.run.bundle import save_description
from uda.run.layout import RunFolder
from uda.training.build import model_spec
from uda.training.config import RunConfig
from uda.training.described import Features, describe, frame_of, typical_of
from uda.training.monitor.progress import Progress
from uda.training.prepare import Parts, Rows
from uda.training.summary import Summary

# Weaker than the baseline's: a teacher has to be sure of something.
TEACHER_REGULARISATION = 0.1
# Labels that carry little: as strong as the baseline's.
CAREFUL_REGULARISATION = REGULARISATION


class TextureTeacher:
    """The classical classifier as a second opinion on unlabelled images.

    Its mistakes are of another kind than the network's. It reads texture at more
    pixels than the network and knows what is typical of the pile; where all images are
    framed alike it reads that alone. Where the labels carry far enough it also learns
    from the unlabelled images, on its own.
    Fitting it to what the network was sure of was tried, and only made it repeat the
    network's mistakes (docs/method.md).

    Args:
        parts: the run's images.
        device: where the tables are wanted.
        threads: for the descriptors; None for all cores.
        tiled: whether the network gets images in tiles, since their defects are small:
            then texture is read in full detail, framed alike or not.
    """

    def __init__(
        self,
        parts: Parts,
        device: torch.device,
        threads: int | None = None,
        *,
        tiled: bool = False,
    ) -> None:
        self.parts = parts
        self.device = device
        self.rows = np.union1d(parts.training_rows, parts.validation)
        frame = None if tiled else frame_of(parts)
        # Where a place means something, texture of the whole only adds what differs
        # from part to part (docs/method.md).
        self.texture = frame is None
        self.typical = typical_of(parts) if frame is None else frame
        self.features = describe(
            parts, self.rows, self.typical, texture=self.texture, threads=threads
        )
        # (N,) place of a pool row among the features.
        self.place = np.full(len(parts.pool.images), -1)
        self.place[self.rows] = np.arange(len(self.rows))

    @property
    def described(self) -> Features | None:
        """Return texture and deviations of ``parts.training_rows``, in their order.

        None where images are described by other deviations, and no texture.
        """
        return self._of(self.parts.training_rows) if self.texture else None

    def classifier(self, trust: float) -> TextureClassifier:
        """Fit to the labelled images.

        Args:
            trust: in them, 0 to 1. With full trust it learns from the unlabelled
                images too; with none it is held back as strongly as the baseline.
        """
        parts, fine = self.parts, self.parts.fine
        pool = np.setdiff1d(parts.unlabeled, parts.labeled)
        found = TextureClassifier.self_trained(
            self._of(parts.labeled[fine]),
            parts.targets[fine],
            self._of(pool) if trust == 1 else self.features[:0],
            len(parts.classes),
            regularisation=TEACHER_REGULARISATION if trust else CAREFUL_REGULARISATION,
        )
        return replace(found, typical=self.typical, texture=self.texture)

    def table(self, classifier: TextureClassifier) -> torch.Tensor:
        """Predict every training and validation image.

        Returns:
            (N, C) log-probabilities by pool row; 0 for other images.
        """
        parts = self.parts
        table = torch.zeros(len(parts.pool.images), len(parts.classes))
        found = torch.from_numpy(classifier.predict_log_proba(self.features)).float()
        table[torch.from_numpy(self.rows)] = found
        return table.to(self.device)

    def _of(self, rows: Rows) -> Features:
        """Return the features of some pool rows."""
        found: Features = self.features[self.place[rows]]
        return found

    def skill(self, seed: int) -> float | None:
        """Tell how far the labels carry: cross-validated, on labelled images alone.

        Folds keep groups together, or twins would let poor labels look good. One
        image of each class and group counts: augmented copies are no evidence.
        Classes with a single labelled image (or group) are left out.

        Returns:
            (balanced accuracy - 1/C) / (1 - 1/C) over up to five folds: 0 is chance,
            1 is perfect; None where fewer than two classes can be divided.
        """
        from sklearn.metrics import balanced_accuracy_score
        from sklearn.model_selection import StratifiedGroupKFold

        targets, groups = self.parts.targets, self.parts.groups
        counted = self._one_per_group()
        num_groups = np.bincount(targets[counted])
        divisible = np.flatnonzero(num_groups >= 2)
        if divisible.size < 2:
            return None
        chosen = counted[np.isin(targets[counted], divisible)]
        num_folds = int(min(5, num_groups[divisible].min()))
        folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        predicted = np.full(len(targets), -1)
        for train, held_out in folds.split(
            chosen, targets[chosen], np.asarray(groups)[chosen]
        ):
            if np.unique(targets[chosen[train]]).size < 2:
                continue
            features = self._of(self.parts.labeled[chosen[held_out]])
            answer = self._fit(chosen[train]).predict_log_proba(features)
            predicted[chosen[held_out]] = answer.argmax(1)
        told = chosen[predicted[chosen] >= 0]
        accuracy = float(balanced_accuracy_score(targets[told], predicted[told]))
        chance = 1 / divisible.size
        return (accuracy - chance) / (1 - chance)

    def _one_per_group(self) -> Rows:
        """Return the (g,) sorted places of one labelled image per class and group.

        It is the one with the shortest name: a copy is named after its source, with
        more behind it, so what counts is the same with and without copies.
        """
        parts = self.parts
        names = parts.ids(parts.labeled)
        found: dict[tuple[int, str], int] = {}
        for place in sorted(parts.fine, key=lambda i: (len(names[i]), names[i])):
            found.setdefault((int(parts.targets[place]), parts.groups[place]), place)
        return np.sort(np.array([*found.values()], dtype=np.int64))

    def _fit(self, chosen: Rows) -> TextureClassifier:
        """Fit to some of the labelled images, by their place among them."""
        return TextureClassifier.fit(
            self._of(self.parts.labeled[chosen]),
            self.parts.targets[chosen],
            len(self.parts.classes),
            regularisation=TEACHER_REGULARISATION,
        )


def texture_teacher(
    config: RunConfig, parts: Parts, device: torch.device
) -> TextureTeacher | None:
    """Return the second opinion where the recipe asks for one."""
    if not config.semi_supervised or config.consistency.weak_pass != "table":
        return None
    if config.consistency.texture_weight == 0:
        return None
    return TextureTeacher(
        parts.truly_labeled,
        device,
        config.loop.threads,
        tiled=config.data.tiles is not None,
    )


def train_texture(
    config: RunConfig, run: RunFolder, parts: Parts, *, console: Progress
) -> Summary:
    """Fit the classical baseline in seconds and write it as a run."""
    images = np.ascontiguousarray(parts.pool.images[parts.labeled])
    classifier = TextureClassifier.fit(
        texture_features(images, threads=config.loop.threads),
        parts.targets,
        len(parts.classes),
    )
    save_classifier(run, model_spec(config, parts), classifier, parts.pool)
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
        metrics = validation_metrics(parts, predictions.predicted)
    run.write_status("done", step=0, steps=0, **metrics)
    return Summary("done", 0, metrics, run.path)


def save_classifier(
    run: RunFolder, spec: ModelSpec, classifier: TextureClassifier, pool: Pool
) -> None:
    """Write a texture classifier as what a run hands over."""
    path = run.weights / "texture.npz"
    classifier.save(path)
    write_hash(path)
    # Last: whoever reads it finds the weights that it speaks of.
    save_description(run.model, "texture", spec, pool.preprocessing)


def validation_metrics(parts: Parts, named: Rows) -> dict[str, float]:
    """Return balanced accuracy and macro-F1 of (v,) answers to the validation part."""
    rate = rates(confusion_matrix(parts.validation_targets, named, len(parts.classes)))
    return {
        f"val_ema/{key}": float(rate[key]) for key in ("balanced_accuracy", "macro_f1")
    }
