"""An averaged copy of a model: parameters and buffers, as a second model.

Evaluation and teachers read the copy; live weights are never swapped.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


def decay_at(step: int, decay: float) -> float:
    """Return min(decay, (1 + step) / (10 + step)), the decay of one update.

    The warm-up keeps a short run from dragging its random start along.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """Exponential moving average of a model.

    Each update does ``average = d * average + (1 - d) * live`` for every floating
    parameter and buffer (batch-norm statistics included) and copies integers.

    Args:
        model: the live model; it is copied, never changed.
        decay: largest decay, in [0, 1). In a run of T steps nothing above
            1 - 10/T has time to forget the start.
        warmup: let the decay rise from 0.1, as above; False is the released UDA.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = True) -> None:
        self.decay = decay
        self.warmup = warmup
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the live model after the update with this number (from 0)."""
        average, live = _tensors(self.model), _tensors(model)
        floats = [tensor.is_floating_point() for tensor in average]
        torch._foreach_lerp_(
            [a for a, is_float in zip(average, floats, strict=True) if is_float],
            [b for b, is_float in zip(live, floats, strict=True) if is_float],
            1 - (decay_at(step, self.decay) if self.warmup else self.decay),
        )
        for a, b, is_float in zip(average, live, floats, strict=True):
            if not is_float:
                a.copy_(b)

    @torch.no_grad()
    def reset(self, model: nn.Module) -> None:
        """Forget the past: become equal to the live model."""
        self.model.load_state_dict(model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return decay and averaged tensors."""
        return {"decay": self.decay, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.decay = float(state["decay"])
        self.model.load_state_dict(state["model"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
