"""Tiles: a large image cut into parts, and the parts' answers joined into one.

An image label says that a defect is somewhere, not where (multiple-instance
learning): so the loss sees the joined answer, never a tile with a borrowed label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from uda.models.heads import Outputs

_SMALL = 1e-6


@dataclass(frozen=True)
class Tiling:
    """How images are cut and joined.

    With p_t the softmax of tile t and g the class of a tile without any defect:

    - ``max``: P(c) ~ max_t p_t(c) for a defect c, P(g) ~ min_t p_t(g), normalised.
      The clearest tile decides; gradient flows to that tile alone.
    - ``noisy-or``: P(g) = prod_t p_t(g), every tile is good; a defect c is
      somewhere with e(c) = 1 - prod_t (1 - p_t(c)), and
      P(c) = (1 - P(g)) e(c) / sum of e over the defects. Gradient flows to all
      tiles; several weak signs add up, and so do false ones.

    Both are the plain softmax for a single tile. Source of the noisy or: Maron and
    Lozano-Perez, "A framework for multiple-instance learning", NIPS 1997.

    Attributes:
        rows: tiles from top to bottom.
        columns: tiles from left to right.
        join: see above.
        background: g, an index of a class.
    """

    rows: int
    columns: int
    join: Literal["max", "noisy-or"]
    background: int

    def cut(self, images: Tensor) -> Tensor:
        """Cut (B, K, H, W) into (B T, K, H / rows, W / columns), image by image.

        Raises:
            ValueError: the sides cannot be divided.
        """
        batch, channels, height, width = images.shape
        if height % self.rows or width % self.columns:
            raise ValueError(
                f"{height}x{width} pixels cannot be cut into "
                f"{self.rows}x{self.columns} equal tiles"
            )
        size = (height // self.rows, width // self.columns)
        grid = images.reshape(
            batch, channels, self.rows, size[0], self.columns, size[1]
        )
        tiles = grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, *size)
        return tiles.contiguous(memory_format=torch.channels_last)

    def joined(self, outputs: Outputs) -> Outputs:
        """Join (B T, C) leaf logits to (B, C) logits whose softmax is P."""
        logits = outputs.leaf.to(torch.promote_types(outputs.leaf.dtype, torch.float32))
        tiles = logits.reshape(-1, self.rows * self.columns, logits.shape[1])
        join = join_max if self.join == "max" else join_noisy_or
        return Outputs(leaf=join(tiles, self.background))


def join_max(logits: Tensor, background: int) -> Tensor:
    """Join tiles (B, T, C) by the strongest sign of each defect; (B, C) logits."""
    logs = logits.log_softmax(2)
    highest, lowest = logs.amax(1), logs.amin(1)
    return torch.where(_is(background, logits), lowest, highest)


def join_noisy_or(logits: Tensor, background: int) -> Tensor:
    """Join tiles (B, T, C) as independent causes; (B, C) log-probabilities."""
    log_p, log_not = log_pairs(logits)
    good, bad = _all_of(log_p, log_not), _all_of(log_not, log_p)
    # (B, C): log P(every tile is c) and its complement; the same for "no tile is c".
    is_background = _is(background, logits)
    evidence = bad.complement.masked_fill(is_background, -torch.inf)
    defect = good.complement[:, background, None]
    shared = defect + evidence - evidence.logsumexp(1, keepdim=True)
    return torch.where(is_background, good.log, shared)


@dataclass(frozen=True)
class _Product:
    """Logarithm of a probability, and of one minus it."""

    log: Tensor
    complement: Tensor


def _all_of(log_p: Tensor, log_not: Tensor) -> _Product:
    """Multiply probabilities over tiles (dimension 1)."""
    total = log_p.sum(1)
    small = total > -_SMALL
    # 1 - prod (1 - q) = sum q where all q are tiny; the plain form would be 0.
    exact = (-torch.expm1(torch.where(small, -1.0, total))).log()
    return _Product(total, torch.where(small, log_not.logsumexp(1), exact))


def log_pairs(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p and log(1 - p) of a softmax over the last dimension.

    Both keep their relative precision at 0 and at 1: whichever is near 0 is
    computed from the other.
    """
    num_classes = logits.shape[-1]
    own = torch.eye(num_classes, dtype=torch.bool, device=logits.device)
    others = logits.unsqueeze(-2).masked_fill(own, -torch.inf).logsumexp(-1)
    total = logits.logsumexp(-1, keepdim=True)
    log_p, log_not = logits - total, others - total
    return _one_minus(log_not, log_p), _one_minus(log_p, log_not)


def _one_minus(log_other: Tensor, log_value: Tensor) -> Tensor:
    """Return log_value, from its complement where that is the smaller one."""
    likely = log_value > -math.log(2)
    safe = torch.where(likely, log_other, -1.0)
    return torch.where(likely, torch.log1p(-safe.exp()), log_value)


def _is(background: int, logits: Tensor) -> Tensor:
    """Return (1, C) booleans, true for the background class."""
    classes = torch.arange(logits.shape[-1], device=logits.device)
    return (classes == background).unsqueeze(0)
