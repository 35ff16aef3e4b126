"""Grad-CAM: where in an image a network finds the evidence for a class.

A hint, not a proof: a map that lies beside the defect says that something else decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TEXTURE = "a texture model answers from descriptors of the whole image: it has no map"
NO_STAGE = "this backbone ends in tokens, not in a map of positions: it has no Grad-CAM"


@dataclass(frozen=True)
class Saliency:
    """Maps of some images, or why there are none.

    Attributes:
        maps: (N, H, W) float32 in 0..1, each image's strongest position 1; all 0
            where nothing speaks for the class. None where the model has no maps.
        reason: why it has none; empty otherwise.
    """

    maps: npt.NDArray[np.float32] | None
    reason: str = ""


def grad_cam(
    model: Any,
    images: npt.NDArray[np.uint8],
    classes: Sequence[int],
    *,
    batch: int = 32,
    device: str | torch.device = "cpu",
) -> Saliency:
    """Map where each image speaks for a class (Selvaraju et al., ICCV 2017).

    With A_k the maps of the last convolutional stage and y the logit of the class
    that is served (of a class tree its log-probability):

        w_k = mean over positions of dy / dA_k,    map = max(0, sum_k w_k A_k)

    resized to the image. The stage is the last one that has positions, as its output
    is when it is pooled. Of networks side by side (one per node of a tree) the sums
    are added; of a tiled model the maps of the tiles lie where the tiles do.

    Args:
        model: a classifier, in evaluation mode while it is asked.
        images: (N, H, W, K) uint8.
        classes: (N,) index of the class that each image is asked about.
        batch: images per pass.
        device: where the model is.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        return Saliency(None, TEXTURE)
    modes = {module: module.training for module in model.modules()}
    found = []
    try:
        for module in modes:
            module.training = False
        for start in range(0, len(images), batch):
            block = np.ascontiguousarray(images[start : start + batch])
            pixels = torch.from_numpy(block).permute(0, 3, 1, 2).to(device).float()
            asked = torch.tensor(classes[start : start + batch], device=device)
            maps = _maps(model, pixels, asked)
            if maps is None:
                return Saliency(None, NO_STAGE)
            found.append(maps.cpu().numpy())
    finally:
        for module, training in modes.items():
            module.training = training
    empty = np.zeros((0, *images.shape[1:3]), dtype=np.float32)
    return Saliency(np.concatenate([empty, *found]))


def _maps(model: nn.Module, pixels: Tensor, classes: Tensor) -> Tensor | None:
    """Return (B, H, W) in 0..1, or None where a backbone has no map of positions."""
    import torch
    from torch.nn.functional import interpolate

    stages = [_Stage(root) for root in _backbones(model)]
    try:
        with torch.enable_grad():
            outputs = model(pixels.requires_grad_())  # frozen layers pass it on, too
            score = outputs.served.float().gather(1, classes[:, None]).sum()
            if any(stage.output is None for stage in stages):
                return None
            stacked = [stage.output for stage in stages]
            slopes = torch.autograd.grad(score, stacked, allow_unused=True)
    finally:
        for stage in stages:
            stage.remove()
    total: Any = 0
    for stage, slope in zip(stages, slopes, strict=True):
        if slope is not None:  # the class is not below this node
            total = total + stage.weighted(slope)
    if isinstance(total, int):
        return torch.zeros(pixels.shape[0], *pixels.shape[2:])
    maps = _untiled(model, total.detach().clamp(min=0))
    size = tuple(pixels.shape[2:])
    maps = interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    highest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(highest > 0, highest, 1.0)


def _backbones(model: nn.Module) -> list[nn.Module]:
    """Return the networks whose features the head reads."""
    from uda.models.tree_head import Together

    backbone: Any = getattr(model, "backbone", model)
    return list(backbone.backbones) if isinstance(backbone, Together) else [backbone]


def _untiled(model: nn.Module, maps: Tensor) -> Tensor:
    """Put the maps (B T, h, w) of an image's tiles side by side."""
    tiles: Any = getattr(model, "tiles", None)
    if tiles is None:
        return maps
    height, width = maps.shape[1:]
    grid = maps.reshape(-1, tiles.rows, tiles.columns, height, width)
    return grid.permute(0, 1, 3, 2, 4).reshape(
        -1, tiles.rows * height, tiles.columns * width
    )


class _Stage:
    """Listens to a backbone and keeps its last output that has positions.

    The tensor itself is kept, so that what is later done to it in place (a ReLU) is
    in it, and in the slope that belongs to it.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self.output: Tensor | None = None
        self.num_features = int(getattr(backbone, "num_features", 0))
        self.handles = [
            module.register_forward_hook(self._hear)
            for module in backbone.modules()
            if module is not backbone
        ]

    def _hear(self, module: nn.Module, inputs: Any, output: Any) -> None:
        import torch

        if not isinstance(output, torch.Tensor):
            return
        if output.ndim == 4 and self._positions(output) > 1:
            self.output = output
        elif output.ndim == 3 and output.shape[1] > 1:
            self.output = None  # tokens: whatever came before is not the last stage

    def _channels_last(self, output: Tensor) -> bool:
        return output.shape[1] != self.num_features == output.shape[3]

    def _positions(self, output: Tensor) -> int:
        first = 1 if self._channels_last(output) else 2
        return int(output.shape[first] * output.shape[first + 1])

    def weighted(self, slope: Tensor) -> Tensor:
        """Return (B, h, w): the stage's maps, each times its mean slope."""
        assert self.output is not None
        positions = (1, 2) if self._channels_last(self.output) else (2, 3)
        channels = 3 if positions == (1, 2) else 1
        weights = slope.float().mean(positions, keepdim=True)
        return (weights * self.output.float()).sum(channels)

    def remove(self) -> None:
        """Stop listening."""
        for handle in self.handles:
            handle.remove()
