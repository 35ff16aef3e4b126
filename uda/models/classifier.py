"""The classifier: normalisation, backbone and head as one module, and its spec.

Pixels go in as they lie in memory (uint8); what the network was trained to expect
travels inside it, so that no caller can normalise twice or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from uda.errors import CheckpointError
from uda.models.backbones import build_backbone
from uda.models.heads import BalancedHead, CosineHead, FlatHead, Outputs
from uda.models.seeding import seeded

# A channel that is constant in the data set would divide by zero: one grey level.
_SMALLEST_STD = 1 / 255


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build the same classifier again.

    Attributes:
        backbone: a name that `build_backbone` knows.
        classes: class names in the order of the logits.
        channels: K, 1 or 3.
        mean: (K,) mean of the data set, in 0..1.
        std: (K,) standard deviation of the data set, in 0..1.
        head: "flat"; "cosine" for margins; "balanced" with an auxiliary head that
            decides.
    """

    backbone: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: Literal["flat", "cosine", "balanced"] = "flat"

    def __post_init__(self) -> None:
        for field in ("classes", "mean", "std"):
            object.__setattr__(self, field, tuple(getattr(self, field)))

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelSpec:
        """Rebuild a spec from `to_json`'s values.

        Raises:
            CheckpointError: a key is missing or unknown.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise CheckpointError(
                f"model description: {error}; it was written by another version "
                "of this package, or edited"
            ) from error


class Classifier(nn.Module):
    """Images to Outputs: (x / 255 - mean) / std, then backbone, then head.

    Args:
        backbone: (B, K, H, W) float -> (B, D).
        head: (B, D) -> Outputs.
        mean: (K,) in 0..1.
        std: (K,) in 0..1.
        num_classes: C.

    Attributes:
        logit_offset: (C,) taken off the leaf logits in evaluation mode: a prior, or
            what the network says to a blank image. Zeros unless somebody set it.
    """

    mean: Tensor
    std: Tensor
    logit_offset: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.trunk_frozen = False
        self.register_buffer("mean", torch.tensor(tuple(mean), dtype=torch.float32))
        self.register_buffer(
            "std", torch.tensor(tuple(std), dtype=torch.float32).clamp(_SMALLEST_STD)
        )
        self.register_buffer("logit_offset", torch.zeros(num_classes))

    def forward(self, images: Tensor) -> Outputs:
        """Classify images (B, K, H, W), uint8 or float in 0..255, any memory order."""
        outputs: Outputs = self.head(self.backbone(self.normalize(images)))
        if self.training:
            return outputs
        return outputs._replace(leaf=outputs.leaf - self.logit_offset)

    def normalize(self, images: Tensor) -> Tensor:
        """Bring images (B, K, H, W) in 0..255 to zero mean and unit variance."""
        scale = (self.std * 255).reciprocal().view(1, -1, 1, 1)
        shift = (self.mean / self.std).view(1, -1, 1, 1)
        return images.to(self.mean.dtype) * scale - shift

    def train(self, mode: bool = True) -> Classifier:
        """Set training mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self.trunk_frozen:
            self.backbone.eval()
        return self


def build_classifier(
    spec: ModelSpec,
    *,
    seed: int = 0,
    weights: Path | None = None,
    pretrained: bool = False,
) -> Classifier:
    """Build a classifier whose initial weights depend on the seed alone.

    Args:
        spec: what to build.
        seed: the run's seed; new layers are drawn from its stream ``"init"``.
        weights: file with backbone weights, see `uda.models.weights`.
        pretrained: use the library's published weights.

    Raises:
        UsageError: unknown backbone, or published weights that cannot be had.
        CheckpointError: the weight file cannot be used.
    """
    with seeded(seed, "init"):
        backbone = build_backbone(
            spec.backbone,
            channels=spec.channels,
            weights=weights,
            pretrained=pretrained,
        )
        num_features = int(backbone.num_features)  # type: ignore[arg-type]
        head = _build_head(spec, num_features)
    return Classifier(backbone, head, spec.mean, spec.std, len(spec.classes))


def _build_head(spec: ModelSpec, num_features: int) -> nn.Module:
    if spec.head == "cosine":
        return CosineHead(num_features, len(spec.classes))
    kind = {"flat": FlatHead, "balanced": BalancedHead}.get(spec.head)
    if kind is None:
        raise CheckpointError(f"model description: unknown head {spec.head!r}")
    bound = _head_bound(spec.backbone, num_features)
    return kind(num_features, len(spec.classes), bound=bound)


def _head_bound(backbone: str, num_features: int) -> float | None:
    # 1/sqrt(C) is meant for the small averaged features of a wide ResNet; with
    # hundreds of large features it would make a confident network of an untrained
    # one, and confidence is what the gate of the unlabelled loss looks at.
    return None if backbone.startswith("wrn-") else num_features**-0.5
