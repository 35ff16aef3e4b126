"""A literal wide ResNet: the forward pass as formulas on a flat dict of tensors.

Batch norm is written out; only the convolution itself is torch's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def batch_norm(x, state, name, training):
    if training:
        mean = x.mean((0, 2, 3))
        var = ((x - mean[None, :, None, None]) ** 2).mean((0, 2, 3))
    else:
        mean, var = state[name + ".running_mean"], state[name + ".running_var"]
    x = (x - mean[None, :, None, None]) / torch.sqrt(var + 1e-5)[None, :, None, None]
    gamma, beta = state[name + ".weight"], state[name + ".bias"]
    return x * gamma[None, :, None, None] + beta[None, :, None, None]


def features(images, state, depth, training):
    """Map normalised images (B, K, H, W) to features (B, D)."""
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for group, first_stride in ((1, 1), (2, 2), (3, 2)):
        for block in range((depth - 4) // 6):
            name = f"group{group}.{block}"
            stride = first_stride if block == 0 else 1
            y = batch_norm(x, state, name + ".norm1", training).clamp(min=0)
            y = F.conv2d(y, state[name + ".conv1.weight"], stride=stride, padding=1)
            y = batch_norm(y, state, name + ".norm2", training).clamp(min=0)
            y = F.conv2d(y, state[name + ".conv2.weight"], padding=1)
            if x.shape != y.shape:
                x = F.conv2d(x, state[name + ".shortcut.weight"], stride=stride)
            x = x + y
    return batch_norm(x, state, "norm", training).clamp(min=0).mean((2, 3))


def num_parameters(depth, width, channels):
    """Count weights by hand: 3x3 and 1x1 kernels, two numbers per normed channel."""
    total = 9 * channels * 16
    num_in = 16
    for num_out in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            total += 2 * num_in + 9 * num_in * num_out
            total += 2 * num_out + 9 * num_out * num_out
            if num_in != num_out:
                total += num_in * num_out
            num_in = num_out
    return total + 2 * num_in
