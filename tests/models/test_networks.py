"""Our networks against a hand count and a literal forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.reference.wide_resnet import features, num_parameters
from uda.models.networks import SmallNet, WideResNet
from uda.models.seeding import seeded


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_wrn_28_2_has_one_and_a_half_million_parameters():
    # With the linear layer to ten classes: the 1,467,610 that others count too.
    net = WideResNet(28, 2, 3)
    assert count(net) == num_parameters(28, 2, 3) == 1_466_320
    assert count(net) + 128 * 10 + 10 == 1_467_610
    assert net.num_features == 128


@pytest.mark.parametrize(("depth", "width", "channels"), [(10, 1, 1), (16, 3, 3)])
def test_other_sizes_follow_the_same_count(depth, width, channels):
    assert count(WideResNet(depth, width, channels)) == num_parameters(
        depth, width, channels
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("depth", "width", "channels"), [(10, 2, 1), (16, 1, 3)])
def test_forward_is_the_literal_one(training, depth, width, channels):
    with seeded(0, "init"):
        net = WideResNet(depth, width, channels).double().train(training)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # Fresh statistics are 0 and 1 and would hide a mistake.
                layer.weight.data.uniform_(0.5, 1.5)
                layer.bias.data.uniform_(-0.5, 0.5)
                layer.running_mean.uniform_(-0.2, 0.2)
                layer.running_var.uniform_(0.5, 2.0)
        images = torch.randn(3, channels, 16, 12, dtype=torch.float64)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    wanted = features(images, state, depth, training)
    torch.testing.assert_close(net(images), wanted)


def test_initial_weights_have_the_published_spread():
    with seeded(1, "init"):
        net = WideResNet(28, 2, 3)
    for path, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None
            wanted = (2 / (layer.kernel_size[0] ** 2 * layer.out_channels)) ** 0.5
            tolerance = 5 / layer.weight.numel() ** 0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=tolerance), (
                path
            )
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.momentum, layer.eps) == (0.1, 1e-5)


def test_strides_shrink_by_four_and_the_shortcut_sees_the_raw_input():
    net = WideResNet(10, 1, 3)
    assert net.group3(net.group2(net.group1(torch.zeros(1, 16, 32, 32)))).shape == (
        (1, 64, 8, 8)
    )
    block = net.group2[0].eval()
    block.conv2.weight.data.zero_()
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(x), block.shortcut(x))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (64, 64), (33, 50)])
def test_small_net_takes_any_size(channels, size):
    net = SmallNet(channels)
    assert net(torch.zeros(2, channels, *size)).shape == (2, net.num_features)
    assert net.num_features == 256


def test_small_net_sees_mean_and_maximum():
    net = SmallNet(1, (4, 6), kernels=(3, 3), strides=(2, 1)).eval()
    images = torch.randn(2, 1, 16, 16)
    maps = net.stages(images)
    found = net(images)
    assert maps.shape == (2, 6, 8, 8)
    for i in range(2):
        for c in range(6):
            assert found[i, c].item() == pytest.approx(maps[i, c].mean().item())
            assert found[i, 6 + c].item() == maps[i, c].max().item()


def test_small_net_with_the_mean_alone():
    net = SmallNet(1, (4, 6), kernels=(3, 3), strides=(2, 1), with_maximum=False)
    images = torch.randn(2, 1, 16, 16)
    assert net.num_features == 6
    torch.testing.assert_close(net(images), net.stages(images).mean((2, 3)))


def test_a_centered_net_does_not_see_the_exposure():
    net = SmallNet(3, centered=True).eval()
    images = torch.randn(2, 3, 16, 16)
    brighter = images + torch.tensor([0.5, -1.0, 2.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(net(brighter), net(images), rtol=1e-4, atol=1e-5)
    net.centered = False
    assert not torch.allclose(net(brighter), net(images), rtol=1e-2, atol=1e-2)
