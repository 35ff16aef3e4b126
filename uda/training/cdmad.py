"""CDMAD: take out what the classifier says when it sees nothing.

    z' = z - z(blank)

What a classifier says to an image without any pattern is its bias, whatever mix of
classes caused it. Taken off the logits, for targets and for the final answer alike
(``Classifier.logit_offset``), it leaves a blank image undecided; nobody has to state a
prior.
Source: Lee and Kim, "CDMAD: Class-Distribution-Mismatch-Aware Debiasing for
Class-Imbalanced Semi-Supervised Learning", CVPR 2024; LeeHyuck/CDMAD.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WHITE = 255


@torch.no_grad()
def blank_logits(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Return the (C,) logits of a white image; (H, W, K) is its shape."""
    height, width, channels = shape
    device = next(model.parameters()).device
    white = torch.full(
        (1, channels, height, width), _WHITE, dtype=torch.uint8, device=device
    )
    mode = model.training
    logits: Tensor = model.eval()(white).leaf[0]
    model.train(mode)
    return logits
