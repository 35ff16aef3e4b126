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
from uda.models.links import Link
from uda.models.seeding import seeded
from uda.models.tiles import Tiling
from uda.models.tree_head import Together, TreeHead
from uda.tree import Branch, Tree

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
            decides; "tree" with a decision per node of ``tree``.
        link: "softmax": one label per image; "sigmoid": any number.
        tree: (M,) branches of the tree of classes, or None.
        independent: a backbone of its own for each node of the tree.
        tiles: how images are cut and joined, or None for whole images.
    """

    backbone: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: Literal["flat", "cosine", "balanced", "tree"] = "flat"
    link: Link = "softmax"
    tree: tuple[Branch, ...] | None = None
    independent: bool = False
    tiles: Tiling | None = None

    def __post_init__(self) -> None:
        for field in ("classes", "mean", "std"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if self.tree is not None:
            branches = tuple((name, tuple(below)) for name, below in self.tree)
            object.__setattr__(self, "tree", branches)

    @property
    def class_tree(self) -> Tree | None:
        """The tree of classes, where there is one."""
        return None if self.tree is None else Tree(self.tree, self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ModelSpec:
        """Rebuild a spec from `to_json`'s values.

        Raises:
            CheckpointError: a key is missing or unknown.
        """
        tiles = value.get("tiles")
        try:
            return cls(**{**value, "tiles": Tiling(**tiles) if tiles else None})
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
        link: what makes probabilities of its logits, for whoever asks.

    Attributes:
        tiles: how images are cut and joined, or None for whole images.
        logit_offset: (C,) taken off the leaf logits in evaluation mode: a prior, or
            what the network says to a blank image. Zeros unless somebody set it.
    """

    mean: Tensor
    std: Tensor
    logit_offset: Tensor
    tiles: Tiling | None = None

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        num_classes: int,
        link: Link = "softmax",
    ) -> None:
        super().__init__()
        self.link = link
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
        pixels = images if self.tiles is None else self.tiles.cut(images)
        outputs: Outputs = self.head(self.backbone(self.normalize(pixels)))
        if self.tiles is not None:
            outputs = self.tiles.joined(outputs)
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
        backbones = [
            build_backbone(
                spec.backbone,
                channels=spec.channels,
                weights=weights,
                pretrained=pretrained,
            )
            for _ in range(len(spec.tree) if spec.tree and spec.independent else 1)
        ]
        backbone = Together(backbones) if len(backbones) > 1 else backbones[0]
        num_features = int(backbone.num_features)  # type: ignore[arg-type]
        head = _build_head(spec, num_features)
    num_classes = len(spec.classes)
    model = Classifier(backbone, head, spec.mean, spec.std, num_classes, spec.link)
    model.tiles = spec.tiles
    return model


def _build_head(spec: ModelSpec, num_features: int) -> nn.Module:
    if spec.head == "cosine":
        return CosineHead(num_features, len(spec.classes))
    if spec.head == "tree" and spec.class_tree is not None:
        tree, own = spec.class_tree, spec.independent
        bound = _head_bound(spec.backbone, num_features // (len(tree.sizes) ** own))
        return TreeHead(num_features, tree, own_features=own, bound=bound)
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
