"""The honest classical baseline: texture descriptors and logistic regression.

Seconds on a CPU; whoever claims that deep training helps must beat it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uda.errors import CheckpointError, DataError
from uda.files import atomic_path
from uda.models.descriptors import texture_features
from uda.models.deviation import Typical, deviation_features, reduced

if TYPE_CHECKING:
    import torch

    from uda.models.heads import Outputs

__all__ = ["TextureClassifier", "TextureModel", "described", "texture_features"]

Floats = npt.NDArray[np.float64]
# Few labels and many correlated features: strong regularisation, chosen on
# validation parts.
REGULARISATION = 0.02
# Of the unlabelled images, round after round (Lee 2013; the growing, balanced share
# is that of CReST, Wei et al., CVPR 2021).
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
# A feature further out than this many deviations says "odd", not how odd.
_LIMIT = 3.0
_NEVER_SEEN = -30.0  # log-probability of a class without a labelled image
_VERSION = 2  # of the descriptors too: their meaning is in the weights


@dataclass(frozen=True)
class TextureClassifier:
    """Standardised features into a balanced multinomial logistic regression.

    Attributes:
        mean: (F,) of the labelled images' features.
        scale: (F,) their deviation, 1 where it is zero.
        weights: (C, F); zeros for a class without labels.
        bias: (C,); very low for a class without labels.
        typical: what images are compared with, or None where the features are texture
            alone.
        texture: whether texture is among the features; without it they are deviations
            from ``typical`` alone.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats
    typical: Typical | None = None
    texture: bool = True

    @classmethod
    def fit(
        cls,
        features: npt.NDArray[Any],
        labels: npt.ArrayLike,
        num_classes: int,
        *,
        regularisation: float = REGULARISATION,
    ) -> TextureClassifier:
        """Fit to labelled features; the same input gives the same classifier.

        Args:
            features: (N, F) from `texture_features` or `described`.
            labels: (N,) class indices.
            num_classes: C; classes without labels are never predicted.
            regularisation: inverse strength of the penalty, scikit-learn's C.

        Raises:
            DataError: when fewer than two classes have labels.
        """
        from sklearn.linear_model import LogisticRegression

        true = np.asarray(labels, dtype=np.int64)
        present = np.unique(true)
        if present.size < 2:
            raise DataError(
                f"the texture baseline needs labels of two classes or more, not "
                f"{present.size}; add labelled images"
            )
        table = np.asarray(features, dtype=np.float64)
        scale = table.std(axis=0)
        scale[scale < 1e-8] = 1.0
        blank = cls(table.mean(axis=0), scale, np.zeros((0, 0)), np.zeros(0))
        model = LogisticRegression(
            C=regularisation, class_weight="balanced", max_iter=5000
        ).fit(blank.standardise(table), true)
        weights = np.zeros((num_classes, table.shape[1]))
        bias = np.full(num_classes, _NEVER_SEEN)
        coefficients, intercept = model.coef_, model.intercept_
        if present.size == 2:  # one row there: half each way is the same softmax
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        weights[present], bias[present] = coefficients, intercept
        return cls(blank.mean, blank.scale, weights, bias)

    @classmethod
    def self_trained(
        cls,
        features: npt.NDArray[Any],
        labels: npt.ArrayLike,
        unlabeled: npt.NDArray[Any],
        num_classes: int,
        *,
        regularisation: float = REGULARISATION,
    ) -> TextureClassifier:
        """Fit to labels, then again and again to the surest of its own answers.

        Five times, the surest fifth, two fifths, and so on of each predicted class
        join the labelled images; the same share of every class, so that common
        classes do not crowd out rare ones.

        Args:
            features: (N, F) of labelled images.
            labels: (N,) class indices.
            unlabeled: (M, F) of unlabelled images.
            num_classes: C.
            regularisation: as in `fit`.

        Raises:
            DataError: when fewer than two classes have labels.
        """
        true = np.asarray(labels, dtype=np.int64)
        found = cls.fit(features, true, num_classes, regularisation=regularisation)
        for share in SHARES if len(unlabeled) else ():
            answers = found.predict_log_proba(unlabeled)
            named, sure = answers.argmax(axis=1), answers.max(axis=1)
            chosen = np.concatenate(
                [_surest(np.flatnonzero(named == k), sure, share) for k in set(named)]
            )
            found = cls.fit(
                np.concatenate([features, unlabeled[chosen]]),
                np.concatenate([true, named[chosen]]),
                num_classes,
                regularisation=regularisation,
            )
        return found

    def size_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return at which (H, W) images of a size are read."""
        if self.texture or self.typical is None:
            return size
        return self.typical.size

    def standardise(self, features: npt.NDArray[Any]) -> Floats:
        """Return features in deviations from the mean, clipped."""
        if features.shape[1] != self.mean.size:
            raise DataError(
                f"{features.shape[1]} texture features where {self.mean.size} were "
                "fitted: the image size or the number of channels differs"
            )
        unit = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.asarray(np.clip(unit, -_LIMIT, _LIMIT))

    def predict_log_proba(self, features: npt.NDArray[Any]) -> Floats:
        """Return (N, C) log-probabilities for (N, F) features."""
        logits = self.standardise(features) @ self.weights.T + self.bias
        shifted = logits - logits.max(axis=1, keepdims=True)
        normal = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return np.asarray(shifted - normal)

    def save(self, path: Path) -> None:
        """Write an npz file without pickled objects, atomically."""
        extra = {} if self.typical is None else self.typical._asdict()
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                version=np.int64(_VERSION),
                mean=self.mean,
                scale=self.scale,
                weights=self.weights,
                bias=self.bias,
                texture=np.bool_(self.texture),
                **extra,
            )

    @classmethod
    def load(cls, path: Path) -> TextureClassifier:
        """Read a file written by `save`; a broken one is a CheckpointError."""
        names = ("mean", "scale", "weights", "bias")
        try:
            # Opened here, since numpy leaves a broken archive open.
            with (
                Path(path).open("rb") as stream,
                np.load(stream, allow_pickle=False) as stored,
            ):
                if int(stored["version"]) != _VERSION:
                    raise ValueError(f"version {stored['version']}")
                mean, scale, weights, bias = (
                    stored[name].astype(np.float64) for name in names
                )
                # Files of before always have texture.
                texture = bool(stored["texture"]) if "texture" in stored else True
                typical = _typical_of(stored)
                if not texture and typical is None:
                    raise ValueError("nothing is described")
                found = cls(mean, scale, weights, bias, typical, texture)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path}: cannot be read as a texture classifier ({error}); train it "
                "again"
            ) from error
        size, num = found.mean.size, found.bias.size
        if found.scale.shape != (size,) or found.weights.shape != (num, size):
            raise CheckpointError(f"{path}: its tables do not fit; train it again")
        return found


def _typical_of(stored: Mapping[str, npt.NDArray[Any]]) -> Typical | None:
    if "middle" not in stored:
        return None
    found = Typical(stored["middle"], stored["spread"])
    if found.middle.shape != found.spread.shape or found.middle.ndim != 3:
        raise ValueError(f"typical image of shape {found.middle.shape}")
    return found


def described(
    images: npt.NDArray[np.uint8],
    typical: Typical | None = None,
    *,
    texture: bool = True,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Describe images (N, H, W, K) by texture and, with ``typical``, by deviations.

    Deviations are read at the size of ``typical``, which may be smaller.

    Returns:
        (N, F) float32; without ``texture`` the deviations alone.
    """
    found = [texture_features(images, threads=threads)] if texture else []
    if typical is not None:
        small = reduced(images, typical.size)
        found.append(deviation_features(small, typical, threads=threads))
    return np.concatenate(found, axis=1)


def _surest(places: npt.NDArray[Any], sure: Floats, share: float) -> npt.NDArray[Any]:
    """Return a share of some places, those with the highest value of ``sure``."""
    order = np.argsort(-sure[places], kind="stable")
    return np.asarray(places[order[: round(share * places.size)]])


class TextureModel:
    """A texture classifier that is called like a network."""

    def __init__(self, classifier: TextureClassifier) -> None:
        self.classifier = classifier

    def __call__(self, images: torch.Tensor) -> Outputs:
        """Map uint8 (B, K, H, W) to Outputs whose leaf are log-probabilities."""
        import torch

        from uda.models.heads import Outputs

        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        asked = self.classifier
        features = described(pixels, asked.typical, texture=asked.texture)
        log_probs = self.classifier.predict_log_proba(features)
        leaf = torch.from_numpy(log_probs.astype(np.float32)).to(images.device)
        return Outputs(leaf=leaf)
