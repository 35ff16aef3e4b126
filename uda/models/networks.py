"""Networks of our own: wide residual networks and a small one for CPUs.

Both map normalised images (B, K, H, W) to features (B, D), D = ``num_features``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class WideResNet(nn.Module):
    """WRN-d-k as in google-research/uda (image/randaugment/wrn.py).

    A 3x3 stem to 16 channels; three groups of (d - 4) / 6 pre-activation blocks
    with 16k, 32k and 64k channels and strides 1, 2, 2; batch norm, ReLU and the
    mean over positions. Convolutions have no bias and start from
    N(0, sqrt(2 / (k² · out))); batch norm has momentum 0.1 and eps 1e-5. Padding is
    symmetric (TensorFlow pads strided convolutions at the right and below only).

    Args:
        depth: d; d - 4 must be a multiple of 6.
        width: k.
        channels: K of the input.
    """

    def __init__(self, depth: int, width: int, channels: int) -> None:
        super().__init__()
        num_blocks = (depth - 4) // 6
        self.num_features = 64 * width
        self.stem = _conv(channels, 16, kernel=3)
        self.group1 = _group(16, 16 * width, num_blocks, stride=1)
        self.group2 = _group(16 * width, 32 * width, num_blocks, stride=2)
        self.group3 = _group(32 * width, 64 * width, num_blocks, stride=2)
        self.norm = _norm(64 * width)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, K, H, W) to features (B, 64k)."""
        x = self.group3(self.group2(self.group1(self.stem(images))))
        return torch.relu(self.norm(x)).mean((2, 3))


class _Block(nn.Module):
    """BN-ReLU-conv-BN-ReLU-conv; a 1x1 shortcut on the raw input if shape changes."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = _norm(num_in)
        self.conv1 = _conv(num_in, num_out, kernel=3, stride=stride)
        self.norm2 = _norm(num_out)
        self.conv2 = _conv(num_out, num_out, kernel=3)
        self.shortcut = (
            nn.Identity()
            if num_in == num_out and stride == 1
            else _conv(num_in, num_out, kernel=1, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        y = self.conv2(torch.relu(self.norm2(y)))
        return y + self.shortcut(x)  # type: ignore[no-any-return]


def _group(num_in: int, num_out: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = _Block(num_in, num_out, stride)
    rest = [_Block(num_out, num_out, 1) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *rest)


def _norm(num_features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(num_features, eps=1e-5, momentum=0.1)


def _conv(num_in: int, num_out: int, *, kernel: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(num_in, num_out, kernel, stride, kernel // 2, bias=False)
    nn.init.normal_(conv.weight, 0.0, (2 / (kernel**2 * num_out)) ** 0.5)
    return conv


class SmallNet(nn.Module):
    """A few convolutions for CPUs: shrink early, then pool over positions.

    Each stage is convolution, batch norm, ReLU; every stage but the last halves
    the side. The mean over positions describes texture; the maximum keeps a defect
    that covers few of them, which the mean alone would thin out.

    Args:
        channels: K of the input.
        widths: channels of each stage.
        kernels: side of each stage's kernel.
        strides: stride of each stage.
        with_maximum: pool mean and maximum, not the mean alone.
        centered: subtract each image's own mean first, so that the exposure of the
            single photo does not matter.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (32, 64, 96, 128),
        *,
        kernels: Sequence[int] = (5, 3, 3, 3),
        strides: Sequence[int] = (2, 2, 2, 1),
        with_maximum: bool = True,
        centered: bool = False,
    ) -> None:
        super().__init__()
        self.with_maximum = with_maximum
        self.centered = centered
        self.num_features = widths[-1] * (2 if with_maximum else 1)
        inputs = [channels, *widths[:-1]]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    _conv(num_in, num_out, kernel=kernel, stride=stride),
                    _norm(num_out),
                    nn.ReLU(inplace=True),
                )
                for num_in, num_out, kernel, stride in zip(
                    inputs, widths, kernels, strides, strict=True
                )
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, K, H, W) to features (B, D)."""
        if self.centered:
            images = images - images.mean((2, 3), keepdim=True)
        x = self.stages(images)
        mean = x.mean((2, 3))
        return torch.cat([mean, x.amax((2, 3))], 1) if self.with_maximum else mean
